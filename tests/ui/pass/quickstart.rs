//! The program of the README, without its server.

use modeller::prelude::*;

/// A person who can sign in.
#[model(id = "users", public)]
pub struct User {
    #[field(unique, format = "email")]
    pub email: String,
    #[field(min_length = 12)]
    pub password: Private<String>,
    #[field(index, default)]
    pub role: Role,
}

#[value]
#[derive(Default, PartialEq)]
pub enum Role { #[default] User, Admin }

#[value]
pub struct Promote { pub email: String }

#[hook(User, before(insert, update))]
async fn lowercase_email(user: &mut User) -> Result<()> {
    user.email.make_ascii_lowercase();
    Ok(())
}

#[method(User)]
async fn promote(args: Promote, users: Model<User>) -> Result<Doc<User>> {
    users.update(User::EMAIL.eq(args.email), User::ROLE.set(Role::Admin)).await
}

#[modeller::main]
async fn main() -> Result<()> {
    let app = App::discover().in_memory().open().await?;
    let users = app.model::<User>();
    let email = String::from("Ada@Example.com");
    let user = users.insert(User { email, password: "correct horse".into(), role: Role::User }).await?;
    assert_eq!(user.email, "ada@example.com");
    let user = users.promote(Promote { email: user.email.clone() }).await?;
    assert_eq!(user.role, Role::Admin);
    let refused = users.insert(User { email: "no".into(), password: "short".into(), role: Role::User }).await;
    assert_eq!(refused.unwrap_err().code().as_str(), "VALIDATION_ERROR");
    Ok(())
}
