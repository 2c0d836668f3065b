//! Stores around a store: what such a one does itself it writes, and what it passes on it names.

/// Methods of a `KeyStore` that do what those of the same name of a field do: `passed_on!(store: find, get, list)`.
macro_rules! passed_on {
    ($store:ident: $($method:ident),+ $(,)?) => { $(passed_on!(@ $method $store);)+ };
    (@ find $store:ident) => { passed_on!(= $store find(digest: &::tower_api_key::key::KeyDigest) -> Option<::tower_api_key::store::StoredKey>); };
    (@ get $store:ident) => { passed_on!(= $store get(id: ::tower_api_key::key::KeyId) -> Option<::tower_api_key::store::StoredKey>); };
    (@ transact $store:ident) => { passed_on!(= $store transact(reads: ::tower_api_key::store::Reads, decide: ::tower_api_key::store::Decide) -> ()); };
    (@ list $store:ident) => { passed_on!(= $store list(query: &::tower_api_key::store::KeyQuery) -> ::tower_api_key::store::KeyPage); };
    (@ events $store:ident) => { passed_on!(= $store events(query: &::tower_api_key::store::EventQuery) -> Vec<::tower_api_key::event::LoggedEvent>); };
    (@ log_after $store:ident) => { passed_on!(= $store log_after(seq: i64, limit: u32) -> Vec<::tower_api_key::event::LoggedEvent>); };
    (@ log_head $store:ident) => { passed_on!(= $store log_head() -> ::tower_api_key::event::ChainHead); };
    (@ expired_before $store:ident) => { passed_on!(= $store expired_before(moment: ::std::time::SystemTime, limit: u32) -> Vec<::tower_api_key::key::KeyId>); };
    (@ is_empty $store:ident) => { passed_on!(= $store is_empty() -> bool); };
    (@ has_imported $store:ident) => { passed_on!(= $store has_imported() -> bool); };
    (@ ping $store:ident) => { passed_on!(= $store ping() -> ()); };
    (@ spend $store:ident) => { passed_on!(= $store spend(account: ::tower_api_key::key::KeyId, cost: u32) -> ::tower_api_key::store::Spent); };
    (@ give_back $store:ident) => { passed_on!(= $store give_back(account: ::tower_api_key::key::KeyId, cost: u32) -> ()); };
    (@ credits $store:ident) => { passed_on!(= $store credits(accounts: &[::tower_api_key::key::KeyId]) -> Vec<::tower_api_key::store::Balance>); };
    (@ check_key $store:ident) => {
        fn check_key(&self) -> ::tower_api_key::key::CheckKey {
            self.$store.check_key()
        }
    };
    (= $store:ident $method:ident($($name:ident: $type:ty),*) -> $answer:ty) => {
        async fn $method(&self, $($name: $type),*) -> Result<$answer, ::tower_api_key::store::StoreError> {
            self.$store.$method($($name),*).await
        }
    };
}
