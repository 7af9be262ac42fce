//! Carriers: what moves the frames of a session.

pub(super) mod websocket;
