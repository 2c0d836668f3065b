use std::time::Duration;

use super::{found, got, insertion, join_all, now, record, updating, view, write};
use crate::store::{KeyStore, Reads, SpentToken, StoreErrorKind, TokenId, Writes};

const ISSUER: &str = "https://issuer.example";

pub(super) async fn a_token_is_spent_with_the_key_that_is_given_for_it<S: KeyStore>(store: &S) {
    if !store.keeps_tokens() {
        return;
    }
    let later = now(store).await + Duration::from_secs(60);
    let token = SpentToken::new(TokenId::of(ISSUER, "one"), later);
    assert!(!is_spent(store, token.id).await, "nobody has spent it");
    let mut key = record(b"key");
    key.exchanged = true;
    write(store, giving(&key, token)).await.expect("given");
    assert!(is_spent(store, token.id).await);
    for other in [
        TokenId::of(ISSUER, "two"),
        TokenId::of("https://other.example", "one"),
    ] {
        assert!(!is_spent(store, other).await, "another was spent with it");
    }
    assert_eq!(got(store, key.id).await, Some(key.clone()));
    // What it is from its making stays.
    let mut changed = key.clone();
    (changed.exchanged, changed.name) = (false, "changed".into());
    write(store, updating(&changed)).await.expect("changed");
    assert!(got(store, key.id).await.is_some_and(|key| key.exchanged));

    let head = store.log_head().await.expect("an answer");
    let again = write(store, giving(&super::record(b"again"), token)).await;
    let again = again.expect_err("it was spent before");
    assert_eq!(again.kind(), StoreErrorKind::Conflict);
    assert!(
        found(store, b"again").await.is_none(),
        "two keys were given for it"
    );
    assert_eq!(store.log_head().await.expect("an answer"), head);
}

pub(super) async fn of_many_who_spend_a_token_one_does<S: KeyStore>(store: &S) {
    if !store.keeps_tokens() {
        return;
    }
    let token = SpentToken::new(TokenId::of(ISSUER, "one"), now(store).await);
    let keys: Vec<_> = (0..8_u8).map(|i| record(&[i])).collect();
    let spending = keys.iter().map(|key| write(store, giving(key, token)));
    let spent = join_all(spending).await;
    assert_eq!(spent.iter().filter(|spent| spent.is_ok()).count(), 1, "{spent:?}");
    for (i, spent) in spent.iter().enumerate() {
        assert_eq!(got(store, keys[i].id).await.is_some(), spent.is_ok());
    }
}

pub(super) async fn a_token_is_forgotten_when_it_is_asked_for<S: KeyStore>(store: &S) {
    if !store.keeps_tokens() {
        return;
    }
    let now = now(store).await;
    let ago = |seconds| now - Duration::from_secs(seconds);
    let until = [ago(10), ago(30), ago(20), now + Duration::from_secs(60)];
    let mut tokens = Vec::new();
    for (i, until) in until.into_iter().enumerate() {
        let token = SpentToken::new(TokenId::of(ISSUER, &i.to_string()), until);
        let mut writes = Writes::nothing();
        writes.spend_token = Some(token);
        write(store, writes).await.expect("spent");
        tokens.push(token.id);
    }
    assert!(
        forgettable(store, 0).await.is_empty(),
        "nobody has asked for them"
    );
    assert_eq!(forgettable(store, 2).await, [tokens[1], tokens[2]]);
    let over = forgettable(store, 10).await;
    assert_eq!(
        over,
        [tokens[1], tokens[2], tokens[0]],
        "the longest over comes first"
    );
    let mut writes = Writes::nothing();
    writes.forget_tokens = over;
    assert!(!writes.is_nothing());
    write(store, writes).await.expect("forgotten");
    assert!(forgettable(store, 10).await.is_empty());
    assert!(!is_spent(store, tokens[1]).await);
    assert!(
        is_spent(store, tokens[3]).await,
        "one was forgotten before its time"
    );
}

fn giving(key: &crate::key::KeyRecord, token: SpentToken) -> Writes {
    let mut writes = insertion(key);
    writes.spend_token = Some(token);
    writes
}

async fn is_spent<S: KeyStore>(store: &S, token: TokenId) -> bool {
    let mut reads = Reads::nothing();
    reads.token = Some(token);
    view(store, reads).await.spent
}

async fn forgettable<S: KeyStore>(store: &S, limit: u32) -> Vec<TokenId> {
    let mut reads = Reads::nothing();
    reads.forgettable_tokens = limit;
    view(store, reads).await.forgettable_tokens
}
