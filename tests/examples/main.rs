//! Each example as a newcomer meets it: a process, spoken to over HTTP.

mod bound_keys;

mod custom_resolver;

mod first_key;

mod gateway;

mod grpc;

mod plain_tower;

mod process;

mod self_service;

mod static_key;

mod topics;
