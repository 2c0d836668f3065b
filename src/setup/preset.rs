/// What is given up first when not everything can be had: time, or certainty.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Preset {
    /// A change is answered once every process on the same store has applied it, or can use nothing cached any more: then no request, on
    /// whichever process, that begins after the answer is let in by what was. That takes a round trip, and as long as a lease (2 s) while a
    /// process does not answer.
    Strict,
    /// A change is answered once it is durable and applied by this process. Others apply it as fast as the store tells them, and use nothing
    /// cached once a lease (2 s) has passed in which they could not be told.
    #[default]
    Balanced,
    /// As `Balanced`, but while the store cannot be asked, keys that it confirmed in the last 15 minutes
    /// ([`stale_for`](crate::Builder::stale_for)) are still let in, to do what is in [`stale_scopes`](crate::Builder::stale_scopes) and nothing else.
    /// A key that is revoked meanwhile goes on until the store is back. Each use is logged.
    Available,
}
