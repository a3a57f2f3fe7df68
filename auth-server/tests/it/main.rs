//! The authorization server from outside: a real server on a free port, a real database, HTTP. Only time and DNS are
//! the tests' own. Letters with numbers in comments name rows of the project's list of wanted behaviour.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "test code"
)]

mod account;
mod admission;
mod assertions;
mod audit;
mod authorize;
mod claims;
mod clients;
mod codes;
mod commands;
mod config;
mod consent;
mod device_pages;
mod devices;
mod discovery;
mod document_changes;
mod documents;
mod dpop;
mod enterprise;
mod harness;
mod introspection;
mod keys;
mod kill;
mod known_clients;
mod limits;
mod login;
mod logout;
mod logs;
mod operators;
mod outages;
mod pages;
mod par;
mod pkce;
mod postgres;
mod refresh;
mod register;
mod registration_limits;
mod registration_management;
mod relay;
mod replicas;
mod resource_terms;
mod resources;
mod restart;
mod revoke;
mod rules;
mod services;
mod signer;
mod soak;
mod status;
mod tls;
mod token;
mod web;
