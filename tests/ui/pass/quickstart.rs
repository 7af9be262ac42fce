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
    App::discover().serve("127.0.0.1:3030").await
}
