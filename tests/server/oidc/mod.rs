//! Logins by providers: one that cheats, and a real one.

mod browser;
mod cheating;
mod flow;
mod provider;
mod real;
