//! Resumable uploads on a socket: the same uploads as at `/@files`, by JSON-RPC.
//!
//! `upload.create {length?, metadata}`, `upload.append {id, offset, data, length?}` with `data` in Base64, `upload.offset {id}` and
//! `upload.terminate {id}`. All but the last answer `{id, offset, length, expires, done, result?}`. The metadata is an object of
//! texts, of which `args` may be any JSON.

use axum::body::Body;
use axum::http::HeaderMap;
use serde_json::{Map, Value};

use super::files::{self, Append, Metadata};
use super::incoming::Incoming;
use crate::error::{Error, Result};
use crate::server::call::Context;
use crate::server::network::Peer;

/// What is asked of an upload.
pub(in crate::server) enum Asked {
    Create { length: Option<u64>, metadata: Map<String, Value> },
    Append { id: String, offset: u64, length: Option<u64>, data: Vec<u8> },
    Offset { id: String },
    Terminate { id: String },
}

/// Does it, and answers the bytes of JSON.
pub(in crate::server) async fn ask(context: &Context, peer: Peer, asked: Asked) -> Result<Vec<u8>> {
    let upload = match asked {
        Asked::Create { length, metadata } => {
            let upload = files::create(context, peer, length, &Metadata::of_json(metadata)?).await?;
            if length == Some(0) {
                files::ask(context, &upload).await?;
            }
            upload
        }
        Asked::Append { id, offset, length, data } => {
            let upload = files::find(context, &id).await?;
            let append = Append { offset, length, checksum: None };
            let body = Incoming::new(&HeaderMap::new(), Body::from(data), u64::MAX);
            files::append(context, upload.clone(), append, body).await.0?;
            upload
        }
        Asked::Offset { id } => {
            let upload = files::find(context, &id).await?;
            files::ask(context, &upload).await?;
            upload
        }
        Asked::Terminate { id } => {
            let upload = files::find(context, &id).await?;
            files::terminate(context, &upload).await?;
            return Ok(b"{}".to_vec());
        }
    };
    let described = files::described_state(context, &upload).await?;
    serde_json::to_vec(&described).map_err(Error::from)
}
