//! A program with rooms that fill up, for the figures of `tests/crowd.rs`.

#![allow(missing_docs, unreachable_pub, reason = "models are public by habit, and documented where users read them")]

use modeller::prelude::*;

/// Has rooms, and no documents.
#[model(id = "talks", public)]
pub struct Talk {
    #[field(index)]
    pub room: String,
}

/// Large documents that change.
#[model(id = "pages", public)]
pub struct Page {
    pub n: u64,
    pub text: String,
}

/// Says something in a room.
#[value]
pub struct Say {
    pub room: String,
    pub text: String,
}

/// Says much in a room.
#[value]
pub struct Flood {
    pub room: String,
    pub count: u32,
    pub bytes: u32,
}

#[method(Talk)]
async fn say(args: Say, talks: Model<Talk>) -> Result<()> {
    talks.subscription(Talk::ROOM.eq(args.room)).publish(&args.text).await
}

#[method(Talk)]
async fn flood(args: Flood, talks: Model<Talk>) -> Result<()> {
    let text = "x".repeat(args.bytes as usize);
    let room = talks.subscription(Talk::ROOM.eq(args.room));
    for _ in 0..args.count {
        room.publish(&text).await?;
    }
    Ok(())
}

#[modeller::main]
async fn main() -> Result<()> {
    App::new().model::<Talk>().model::<Page>().serve("127.0.0.1:0").await
}
