/// What a verdict on a key is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// To let somebody in, which is a use of the key.
    Use,
    /// To know it, and tell somebody.
    Question,
}
