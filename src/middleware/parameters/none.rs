use http::Request;

/// Without a router that is known here there are none.
pub(in super::super) struct Parameters;

impl Parameters {
    pub(in super::super) fn of<B>(request: Request<B>) -> (Self, Request<B>) {
        (Self, request)
    }

    #[expect(clippy::unused_self, reason = "the same call as with the feature")]
    pub(in super::super) fn get(&self, _name: &str) -> Option<&str> {
        None
    }
}
