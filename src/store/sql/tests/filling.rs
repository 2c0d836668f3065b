use super::Dialect;

/// So many keys: a tenth of one owner, a twentieth of one whose keys live for minutes, the rest ten an owner. In every status.
pub(in crate::store) fn filling(dialect: Dialect, keys: u32, now_ms: i64) -> String {
    let (series, hex, digest) = match dialect {
        Dialect::Sqlite => (
            format!(
                "(WITH RECURSIVE s(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM s WHERE i < {keys}) SELECT i FROM s) AS s"
            ),
            "printf('%08x', i)",
            "randomblob(32)",
        ),
        Dialect::Postgres => (
            format!("generate_series(1::bigint, {keys}) AS s(i)"),
            "lpad(to_hex(i), 8, '0')",
            "sha256(i::text::bytea)",
        ),
    };
    let year: i64 = 365 * 24 * 3600 * 1000;
    let begin = now_ms - year;
    let step = year / i64::from(keys);
    format!(
        "INSERT INTO api_keys (id, digest, prefix, name, owner, scopes, created_at, expires_at, revoked_at, disabled_at) \
         SELECT '0190' || substr({hex}, 1, 4) || '-' || substr({hex}, 5, 4) || '-7000-8000-000000000000', {digest}, 'ak_abcd', \
         'key ' || i, CASE WHEN i % 10 = 0 THEN 'big' WHEN i % 20 = 7 THEN 'short' ELSE 'owner ' || (i % ({keys} / 10)) END, \
         'issues:read', {begin} + i * {step}, CASE WHEN i % 20 = 7 THEN {begin} + i * {step} + 900000 \
         WHEN i % 3 = 0 THEN {begin} + i * {step} + 2592000000 END, CASE WHEN i % 20 = 1 THEN {begin} END, \
         CASE WHEN i % 100 = 3 THEN {begin} END FROM {series}; \
         INSERT INTO api_key_events (seq, hash, kind, key_id, owner, at, actor_kind, actor_owner) \
         SELECT row_number() OVER (ORDER BY id), digest, 'minted', id, owner, created_at, 'key', owner FROM api_keys; \
         UPDATE api_key_log SET seq = {keys}"
    )
}
