//! Issues: rows of a table of the demo's own, and the calls that read and write them.

use std::str::FromStr;

use axum::{
    Json,
    extract::{
        Path, Query, State,
        rejection::{PathRejection, QueryRejection},
    },
    http::{StatusCode, header::LOCATION},
    response::IntoResponse,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tower_api_key::{
    access::Requirement,
    extract::{Requires, Scoped},
};
use utoipa::{IntoParams, ToSchema};

use crate::{
    database::{Pool, on_either},
    json::Body,
    problem::Problem,
};

const MAX_TITLE: usize = 200;
const DEFAULT_LIMIT: i64 = 50;
const MAX_LIMIT: i64 = 100;

/// May create issues and change them.
pub(crate) struct WriteIssues;

impl Requires for WriteIssues {
    const REQUIREMENT: Requirement = Requirement::all_of(&["issues:write"]);
}

#[derive(Serialize, ToSchema)]
pub(crate) struct Issue {
    id: i64,
    title: String,
    status: Status,
    created_by: String,
    created_at: String,
}

#[derive(Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Status {
    Open,
    Closed,
}

// Texts, because a rejection by serde would quote them.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Filter {
    #[param(inline, value_type = Option<Status>)]
    status: Option<String>,
    #[param(value_type = Option<u32>, minimum = 1, maximum = 100, default = 50)]
    limit: Option<String>,
}

/// Lists issues, the newest first.
// The router sees to the scope.
#[utoipa::path(get, path = "/api/v1/issues", tag = "issues", params(Filter), security(("bearer" = ["issues:read"])),
    responses((status = 200, description = "The issues.", body = [Issue])))]
pub(crate) async fn list(
    State(issues): State<Issues>,
    filter: Result<Query<Filter>, QueryRejection>,
) -> Result<Json<Vec<Issue>>, Problem> {
    let Ok(Query(filter)) = filter else {
        return Err(Problem::invalid("The query cannot be read."));
    };
    let status = filter.status.as_deref().map(Status::from_str).transpose()?;
    let limit = match filter.limit.as_deref().map(str::parse) {
        None => DEFAULT_LIMIT,
        Some(Ok(limit @ 1..=MAX_LIMIT)) => limit,
        Some(_) => return Err(Problem::invalid("`limit` must be a number from 1 to 100.")),
    };
    Ok(Json(issues.newest(status, limit).await?))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewIssue {
    #[schema(min_length = 1, max_length = 200)]
    title: String,
}

/// Creates an issue.
#[utoipa::path(post, path = "/api/v1/issues", tag = "issues", request_body = NewIssue, security(("bearer" = ["issues:write"])),
    responses((status = 201, description = "The issue.", body = Issue, headers(("Location" = String)))))]
pub(crate) async fn create(
    caller: Scoped<WriteIssues>,
    State(issues): State<Issues>,
    Body(new): Body<NewIssue>,
) -> Result<impl IntoResponse, Problem> {
    if new.title.trim().is_empty() || new.title.chars().count() > MAX_TITLE {
        return Err(Problem::invalid(
            "`title` must be 1 to 200 characters, not all of them blank.",
        ));
    }
    // Texts of PostgreSQL cannot hold it.
    if new.title.contains('\0') {
        return Err(Problem::invalid("`title` must not have the character NUL."));
    }
    let issue = issues.insert(&new.title, caller.owner()).await?;
    let location = [(LOCATION, format!("/api/v1/issues/{}", issue.id))];
    Ok((StatusCode::CREATED, location, Json(issue)))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = IssueChange)]
pub(crate) struct Change {
    status: Status,
}

/// Opens or closes an issue.
#[utoipa::path(patch, path = "/api/v1/issues/{id}", tag = "issues", params(("id" = i64, Path)), request_body = Change,
    security(("bearer" = ["issues:write"])),
    responses((status = 200, description = "The issue as it is now.", body = Issue), (status = 404, description = "There is none.")))]
pub(crate) async fn change(
    _caller: Scoped<WriteIssues>,
    State(issues): State<Issues>,
    id: Result<Path<i64>, PathRejection>,
    Body(change): Body<Change>,
) -> Result<Json<Issue>, Problem> {
    let Ok(Path(id)) = id else {
        return Err(Problem::NOT_FOUND);
    };
    let issue = issues.set_status(id, change.status).await?;
    issue.map(Json).ok_or(Problem::NOT_FOUND)
}

/// The table, in words that both databases understand but for how it numbers its rows.
const SQLITE_TABLE: &str = "CREATE TABLE IF NOT EXISTS demo_issues (
    id         INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    title      TEXT    NOT NULL,
    status     TEXT    NOT NULL CHECK (status IN ('open', 'closed')),
    created_by TEXT    NOT NULL,
    created_at TEXT    NOT NULL
) STRICT";
/// Of two servers that start at once, one waits for the other.
const POSTGRES_TABLE: &str = "BEGIN;
SELECT pg_advisory_xact_lock(7310033618233061497);
CREATE TABLE IF NOT EXISTS demo_issues (
    id         BIGINT  GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    title      TEXT    NOT NULL,
    status     TEXT    NOT NULL CHECK (status IN ('open', 'closed')),
    created_by TEXT    NOT NULL,
    created_at TEXT    NOT NULL
);
COMMIT";
const NEWEST: &str = "SELECT id, title, status, created_by, created_at FROM demo_issues \
                      WHERE CAST($1 AS TEXT) IS NULL OR status = $1 ORDER BY id DESC LIMIT $2";
const INSERT: &str = "INSERT INTO demo_issues (title, status, created_by, created_at) VALUES ($1, 'open', $2, $3) \
                      RETURNING id, title, status, created_by, created_at";
const SET_STATUS: &str = "UPDATE demo_issues SET status = $2 WHERE id = $1 \
                          RETURNING id, title, status, created_by, created_at";

type Row = (i64, String, String, String, String);

#[derive(Clone)]
pub(crate) struct Issues {
    pool: Pool,
}

impl Issues {
    /// Makes the table if there is none.
    pub(crate) async fn open(pool: Pool) -> Result<Self, sqlx::Error> {
        match &pool {
            Pool::Sqlite(pool) => sqlx::raw_sql(SQLITE_TABLE).execute(pool).await.map(drop)?,
            Pool::Postgres(pool) => sqlx::raw_sql(POSTGRES_TABLE).execute(pool).await.map(drop)?,
        }
        Ok(Self { pool })
    }

    async fn newest(&self, status: Option<Status>, limit: i64) -> Result<Vec<Issue>, sqlx::Error> {
        let rows: Vec<Row> = on_either!(&self.pool, |pool| {
            let query = sqlx::query_as(NEWEST)
                .bind(status.map(Status::as_str))
                .bind(limit);
            query.fetch_all(pool).await?
        });
        Ok(rows.into_iter().map(Issue::from).collect())
    }

    async fn insert(&self, title: &str, created_by: &str) -> Result<Issue, sqlx::Error> {
        let now = Timestamp::now().to_string();
        let row: Row = on_either!(&self.pool, |pool| {
            let query = sqlx::query_as(INSERT).bind(title).bind(created_by).bind(now);
            query.fetch_one(pool).await?
        });
        Ok(row.into())
    }

    async fn set_status(&self, id: i64, status: Status) -> Result<Option<Issue>, sqlx::Error> {
        let row: Option<Row> = on_either!(&self.pool, |pool| {
            let query = sqlx::query_as(SET_STATUS).bind(id).bind(status.as_str());
            query.fetch_optional(pool).await?
        });
        Ok(row.map(Issue::from))
    }
}

impl From<Row> for Issue {
    fn from((id, title, status, created_by, created_at): Row) -> Self {
        let status = match status.as_str() {
            "closed" => Status::Closed,
            _ => Status::Open,
        };
        Self {
            id,
            title,
            status,
            created_by,
            created_at,
        }
    }
}

impl Status {
    fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Closed => "closed",
        }
    }
}

impl FromStr for Status {
    type Err = Problem;

    fn from_str(text: &str) -> Result<Self, Problem> {
        match text {
            "open" => Ok(Self::Open),
            "closed" => Ok(Self::Closed),
            _ => Err(Problem::invalid("`status` must be `open` or `closed`.")),
        }
    }
}

impl From<sqlx::Error> for Problem {
    fn from(error: sqlx::Error) -> Self {
        tracing::warn!(%error, "the issues cannot be reached");
        Self::UNAVAILABLE
    }
}
