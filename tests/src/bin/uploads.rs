//! A program that tests send files to, and stop and kill meanwhile.

use modeller::App;
use modeller_tests::uploads::Archive;

#[modeller::main]
async fn main() -> modeller::Result<()> {
    App::new().model::<Archive>().upload_limit(1 << 30).serve("127.0.0.1:0").await
}
