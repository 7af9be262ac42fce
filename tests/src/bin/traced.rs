//! A program whose requests are traced, with `own` as its first argument by a subscriber of its own.

use modeller::prelude::*;
use tracing_subscriber::layer::SubscriberExt;

/// Something with a part that nobody sees.
#[model(id = "letters", public)]
pub struct Letter {
    /// What it says.
    pub text: String,
    /// What it is sealed with.
    #[field(default)]
    pub seal: Private<String>,
}

#[hook(Letter, before(insert))]
async fn seal(letter: &mut Letter, log: Log) -> Result<()> {
    log.warn("a letter is sealed");
    letter.seal = Private::new(format!("wax on {}", letter.text));
    Ok(())
}

#[hook(Letter, after(insert))]
async fn count(letters: Model<Letter>) -> Result<()> {
    letters.count(Filter::all()).await.map(drop)
}

#[method(Letter, public)]
async fn burn() -> Result<()> {
    Err(Error::new("TOO_WET"))
}

#[modeller::main]
async fn main() -> Result<()> {
    if std::env::var_os("OWN_SUBSCRIBER").is_some() {
        let subscriber = tracing_subscriber::registry().with(modeller::server::otel::layer()?);
        tracing::subscriber::set_global_default(subscriber).map_err(Error::internal)?;
    }
    App::new().model::<Letter>().in_memory().serve("127.0.0.1:0").await
}
