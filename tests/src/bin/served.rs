//! A program that tests start, kill and talk to.

use modeller::App;
use modeller_tests::served::{Counter, Entry};

#[modeller::main]
async fn main() -> modeller::Result<()> {
    App::new().model::<Entry>().model::<Counter>().serve("127.0.0.1:0").await
}
