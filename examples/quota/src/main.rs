//! Serves the notes of the library beside it, three for each owner.
//!
//! ```sh
//! MODELLER_SECRET=0123456789abcdef0123456789abcdef cargo run -p quota
//! ```
//!
//! A caller comes with a bearer token that was signed with that secret (HS256), with his name as `sub`.

use modeller::prelude::*;
use quota::Limits;

#[modeller::main]
async fn main() -> Result<()> {
    App::discover().state(Limits { notes: 3, bytes: 10_000 }).serve("127.0.0.1:3030").await
}
