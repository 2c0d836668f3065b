/// A random number below the bound.
pub(crate) fn below(bound: u64) -> u64 {
    getrandom::u64().expect("random numbers") % bound
}

/// So many random letters and digits.
pub(crate) fn letters(count: usize) -> String {
    const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut bytes = vec![0; count];
    getrandom::fill(&mut bytes).expect("random numbers");
    bytes
        .into_iter()
        .map(|byte| char::from(ALPHABET[usize::from(byte) % ALPHABET.len()]))
        .collect()
}
