//! A program with all that a server describes of itself, for tools that ask a server at random what its description promises.

use modeller_tests::described::builder;

#[modeller::main]
async fn main() -> modeller::Result<()> {
    builder().serve("127.0.0.1:0").await
}
