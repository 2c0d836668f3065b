//! What is told to `tracing`, and what is told to nobody.

mod canary;

mod lines;

mod recorder;

mod search;

mod shown;

mod spans;
