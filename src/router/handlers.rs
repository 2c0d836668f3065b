use axum::response::Response;

use super::{
    body::{Object, OptionalObject},
    call::{Call, Change, List, Mint, Named, Needs, Possession, Read, ReadEvents, ReadLog, Revoke, Rotate},
    problem::{Problem, created, heard, shown},
    query::{EventPageQuery, KeyPageQuery},
    view::{EventList, EventView, IssuedView, KeyList, KeyView},
    wish,
};
use crate::{
    event::LoggedEvent,
    key::KeyRecord,
    manage::IssuedKey,
    store::{Balance, KeyQuery, StoredKey},
};

type Answer = Result<Response, Problem>;

/// `POST /`
pub(super) async fn mint(call: Call<Mint>, body: Object) -> Answer {
    let new = wish::new_key(body, call.caller.owner())?;
    let issued = call.keys().issue(new).await;
    let issued = issued.map_err(|error| call.failed(&error))?;
    Ok(call.issued(&issued, 0).await)
}

/// `GET /`
pub(super) async fn list(call: Call<List>, query: KeyPageQuery) -> Answer {
    // One more than asked for tells whether there is another page.
    let mut wanted = KeyQuery::newest(query.limit + 1);
    wanted.status = query.status;
    wanted.before = query.before;
    let page = call.keys().list(wanted).await;
    let mut page = page.map_err(|error| call.failed(&error))?;
    let more = cut(&mut page.keys, query.limit);
    let next_cursor = page.keys.last().filter(|_| more).map(|key| key.id.to_string());
    let balances = call.keys().credits(&page.keys).await;
    let balances = balances.map_err(|error| call.failed(&error))?;
    let data = page.keys.iter();
    Ok(shown(&KeyList {
        data: data
            .map(|key| KeyView::of(key, page.now, call.shared.scopes.as_deref(), &balances))
            .collect(),
        next_cursor,
    }))
}

/// `GET /{id}`
pub(super) async fn show(call: Call<Read>, Named(id): Named) -> Answer {
    let key = call.keys().get(id).await;
    let key = key.map_err(|error| call.failed(&error))?;
    let balances = call.keys().credits([&key.record]).await;
    let balances = balances.map_err(|error| call.failed(&error))?;
    Ok(call.key(&key, &balances))
}

/// `PATCH /{id}`
pub(super) async fn change(call: Call<Change>, id: Result<Named, Problem>, body: Object) -> Answer {
    let change = wish::change(body)?;
    let Named(id) = id?;
    let key = call.keys().change(id, change).await;
    let key = key.map_err(|error| call.failed(&error))?;
    let balances = call.after_a_change(&key.record).await;
    Ok(call.key(&key, &balances))
}

/// `POST /{id}/rotate`
pub(super) async fn rotate(
    call: Call<Rotate>,
    id: Result<Named, Problem>,
    OptionalObject(body): OptionalObject,
) -> Answer {
    let overlap = wish::overlap(body)?;
    let Named(id) = id?;
    let issued = call.keys().rotate(id, overlap).await;
    let issued = issued.map_err(|error| call.failed(&error))?;
    Ok(call.issued(&issued, 2).await)
}

/// `DELETE /{id}`
pub(super) async fn revoke(call: Call<Revoke>, Named(id): Named) -> Answer {
    let revoked = call.keys().revoke(id).await;
    let revoked = revoked.map_err(|error| call.failed(&error))?;
    Ok(heard(revoked.receipt))
}

/// `DELETE /current`
pub(super) async fn revoke_current(call: Call<Possession>) -> Answer {
    let revoked = call.keys().revoke_current().await;
    let revoked = revoked.map_err(|error| call.failed(&error))?;
    Ok(heard(revoked.receipt))
}

/// `GET /{id}/events`
pub(super) async fn events(
    call: Call<ReadEvents>,
    id: Result<Named, Problem>,
    query: EventPageQuery,
) -> Answer {
    let Named(id) = id?;
    let events = call.keys().events(id, query.before, query.limit + 1).await;
    let events = events.map_err(|error| call.failed(&error))?;
    Ok(call.events(events, query.limit))
}

/// `GET /events`
pub(super) async fn all_events(call: Call<ReadLog>, query: EventPageQuery) -> Answer {
    let events = call.keys().all_events(query.before, query.limit + 1).await;
    let events = events.map_err(|error| call.failed(&error))?;
    Ok(call.events(events, query.limit))
}

/// axum adds `Allow`.
pub(super) async fn other_method() -> Problem {
    Problem::MethodNotAllowed
}

impl<R: Needs> Call<R> {
    /// What is left in the account of a key that was changed a moment ago. The change is told of also where this cannot be had.
    async fn after_a_change(&self, key: &KeyRecord) -> Vec<Balance> {
        self.keys().credits([key]).await.unwrap_or_default()
    }

    fn key(&self, key: &StoredKey, balances: &[Balance]) -> Response {
        let view = KeyView::of(&key.record, key.now, self.shared.scopes.as_deref(), balances);
        shown(&view)
    }

    async fn issued(&self, issued: &IssuedKey, above: usize) -> Response {
        let record = &issued.record;
        let balances = self.after_a_change(record).await;
        let view = KeyView::of(
            record,
            record.created_at,
            self.shared.scopes.as_deref(),
            &balances,
        );
        let key = issued.key.expose();
        created(&self.place_of(record.id, above), &IssuedView { key, view })
    }

    fn events(&self, mut events: Vec<LoggedEvent>, limit: u32) -> Response {
        let more = cut(&mut events, limit);
        let next_cursor = events.last().filter(|_| more).map(|event| event.seq.to_string());
        let data = events.into_iter();
        shown(&EventList {
            data: data
                .map(|event| EventView::of(event, self.shared.scopes.as_deref()))
                .collect(),
            next_cursor,
        })
    }
}

/// Whether there was more than fits.
fn cut<T>(page: &mut Vec<T>, limit: u32) -> bool {
    let limit = limit as usize;
    let more = page.len() > limit;
    page.truncate(limit);
    more
}
