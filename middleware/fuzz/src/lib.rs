//! What must hold whatever bytes come: one function for each parser of foreign bytes, which panics where it does not.
//!
//! `cargo fuzz run body middleware/fuzz/seeds/body`, with any other of the names, looks for such bytes; `tests/seeds.rs`
//! puts the seeds to the same functions in every test run.

#![expect(
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "a panic is how a fuzzer hears that something does not hold"
)]

mod body;
mod challenge;
mod credentials;
mod events;
mod headers;
mod policy;
mod status_list;

pub use body::body;
pub use challenge::challenge;
pub use credentials::credentials;
pub use events::events;
pub use headers::headers;
pub use policy::policy;
pub use status_list::status_list;
