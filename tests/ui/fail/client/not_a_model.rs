use modeller::client::Client;
use modeller::prelude::*;

pub struct Plain {
    pub text: String,
}

async fn misuse(client: Client) -> Result<()> {
    let plain = client.model::<Plain>();
    Ok(())
}

fn main() {}
