//! Customers who are welcomed by mail, five seconds after they came: a job, which is recorded with the customer and done once the
//! time has come, also when the program was down in between, or the mail server.
//!
//! ```sh
//! SMTP=127.0.0.1:2525 cargo run -p mailer
//! curl --json '{"name":"Ada","email":"ada@example.com"}' localhost:3030/customers
//! ```

use std::time::Duration;

use lettre::message::header::ContentType;
use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};
use modeller::prelude::*;

/// Somebody who is to be welcomed.
#[model(id = "customers", public)]
pub struct Customer {
    #[field(min_length = 1, max_length = 200)]
    pub name: String,
    #[field(unique, format = "email")]
    pub email: String,
    /// Whether the mail is out. It is not the client's to say.
    #[field(default)]
    pub welcomed: bool,
}

#[hook(Customer, before(insert))]
async fn not_yet(customer: &mut Customer) -> Result<()> {
    customer.welcomed = false;
    Ok(())
}

/// The way to the mail server.
type Mail = AsyncSmtpTransport<Tokio1Executor>;

fn failed(cause: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new("MAIL_FAILED").status(503).caused_by(cause)
}

/// The mail, and that it is out. A server that is away is tried again, later and later. What a job does outside of the data can
/// happen twice, when the program ends between the two: so the mail has a name of its own, by which a server may know it.
#[hook(Customer, after(insert), schedule = "5s", attempts = 20)]
async fn welcome(customer: Doc<Customer>, customers: Model<Customer>, State(mail): State<Mail>) -> Result<()> {
    if customers.get(&customer).await?.is_none_or(|now| now.welcomed) {
        return Ok(());
    }
    let letter = Message::builder()
        .message_id(Some(format!("<welcome-{}@example.com>", customer.id())))
        .from("Us <us@example.com>".parse().map_err(failed)?)
        .to(customer.email.parse().map_err(failed)?)
        .subject(format!("Welcome, {}", customer.name))
        .header(ContentType::TEXT_PLAIN)
        .body(format!("Hello {},\n\nit is good to have you.\n", customer.name))
        .map_err(failed)?;
    mail.send(letter).await.map_err(failed)?;
    customers.update(&customer, Customer::WELCOMED.set(true)).await.map(drop)
}

#[modeller::main]
async fn main() -> Result<()> {
    let addr = std::env::var("SMTP").unwrap_or_else(|_| "127.0.0.1:2525".into());
    let (host, port) = addr.rsplit_once(':').ok_or_else(|| Error::new("BAD_ADDRESS").message(addr.clone()))?;
    let port = port.parse().map_err(failed)?;
    // Within one machine; a server elsewhere is reached by `relay`, with TLS.
    let mail: Mail = Mail::builder_dangerous(host).port(port).timeout(Some(Duration::from_secs(5))).build();
    App::discover().state(mail).serve("127.0.0.1:3030").await
}
