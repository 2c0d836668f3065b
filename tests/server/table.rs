//! The refusals, as they must look on the wire: each a row.

use crate::support::http::Response;

#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    title: &'static str,
    pub(crate) code: &'static str,
    /// The lines of `WWW-Authenticate`, in order.
    pub(crate) challenges: &'static [&'static str],
}

pub(crate) const MISSING: Refusal = Refusal {
    status: 401,
    title: "Unauthorized",
    code: "missing-credentials",
    challenges: &[
        r#"Bearer realm="api""#,
        r#"ApiKey realm="api", in="header", name="X-Key""#,
    ],
};

pub(crate) const AMBIGUOUS: Refusal = Refusal {
    status: 400,
    title: "Bad Request",
    code: "ambiguous-credentials",
    challenges: &[r#"Bearer realm="api", error="invalid_request""#],
};

pub(crate) const INVALID: Refusal = Refusal {
    code: "invalid-key",
    challenges: &[r#"Bearer realm="api", error="invalid_token""#],
    ..MISSING
};

pub(crate) const EXPIRED: Refusal = Refusal {
    code: "key-expired",
    challenges: &[
        r#"Bearer realm="api", error="invalid_token", error_description="The API key has expired.""#,
    ],
    ..MISSING
};

pub(crate) const REVOKED: Refusal = Refusal {
    code: "key-revoked",
    challenges: &[
        r#"Bearer realm="api", error="invalid_token", error_description="The API key has been revoked.""#,
    ],
    ..MISSING
};

pub(crate) const DISABLED: Refusal = Refusal {
    code: "key-disabled",
    challenges: &[
        r#"Bearer realm="api", error="invalid_token", error_description="The API key is disabled.""#,
    ],
    ..MISSING
};

pub(crate) const NO_READING: Refusal = Refusal {
    status: 403,
    title: "Forbidden",
    code: "insufficient-scope",
    challenges: &[r#"Bearer realm="api", error="insufficient_scope", scope="issues:read""#],
};

pub(crate) const NO_WRITING: Refusal = Refusal {
    challenges: &[r#"Bearer realm="api", error="insufficient_scope", scope="issues:write""#],
    ..NO_READING
};

pub(crate) const NO_RUNNING: Refusal = Refusal {
    challenges: &[r#"Bearer realm="api", error="insufficient_scope", scope="agents:run""#],
    ..NO_READING
};

pub(crate) const ELSEWHERE: Refusal = Refusal {
    code: "resource-not-allowed",
    challenges: &[r#"Bearer realm="api", error="insufficient_scope""#],
    ..NO_READING
};

pub(crate) const UNAVAILABLE: Refusal = Refusal {
    status: 503,
    title: "Service Unavailable",
    code: "auth-unavailable",
    challenges: &[],
};

impl Refusal {
    pub(crate) fn assert(&self, response: &Response) {
        response.assert_problem(self.status, self.code);
        let problem = response.json();
        assert_eq!(problem["title"], self.title);
        let mut members = vec!["code", "detail", "status", "title", "type"];
        if self.code == "insufficient-scope" {
            members.insert(2, "required");
        }
        let present = problem.as_object().expect("an object").keys();
        assert_eq!(present.collect::<Vec<_>>(), members, "{response:?}");
        self.assert_head(response);
    }

    /// All but the body, which an answer to `HEAD` does not have.
    pub(crate) fn assert_head(&self, response: &Response) {
        assert_eq!(response.status, self.status, "{response:?}");
        assert_eq!(response.all("www-authenticate"), self.challenges, "{response:?}");
        if self.status != 400 {
            assert_eq!(response.header("cache-control"), Some("no-store"), "{response:?}");
        }
        let retry = (self.status == 503).then_some("1");
        assert_eq!(response.header("retry-after"), retry, "{response:?}");
        // The key was good, and the answer depends on it.
        if self.status == 403 {
            assert_eq!(
                response.header("vary"),
                Some("Authorization, X-Key"),
                "{response:?}"
            );
        }
    }
}
