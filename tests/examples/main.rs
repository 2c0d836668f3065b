//! Each example as a newcomer meets it: a process, spoken to over HTTP.

mod custom_resolver;

mod first_key;

mod plain_tower;

mod process;

mod static_key;
