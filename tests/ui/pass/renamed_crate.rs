//! The runtime under another path.
#![deny(warnings)]

mod inner {
    pub use modeller::*;
}

mod bare {
    use crate::inner::{Model, Private, Result, event, hook, method, model, value, worker, Subscription};

    #[model(id = "users", crate = crate::inner)]
    pub struct User {
        #[field(unique, default = "a")]
        pub email: String,
        pub secret: Private<String>,
    }

    #[value(crate = crate::inner)]
    pub enum Role {
        User,
        Admin(u8),
    }

    #[value(crate = crate::inner)]
    pub struct Name(String);

    #[hook(User, before(insert), crate = crate::inner)]
    async fn check(_: &mut User) -> Result<()> {
        Ok(())
    }

    #[method(User, crate = crate::inner)]
    pub async fn rename(name: Name) -> Result<Role> {
        Ok(if name.0.is_empty() { Role::User } else { Role::Admin(1) })
    }

    #[event(User, crate = crate::inner)]
    pub async fn renamed(_: Subscription<User>) -> Result<()> {
        Ok(())
    }

    #[worker(User, every = "1s", crate = crate::inner)]
    async fn sweep(_: Model<User>) -> Result<()> {
        Ok(())
    }
}

#[modeller::main(crate = crate::inner)]
async fn main() -> inner::Result<()> {
    let _ = bare::User::EMAIL;
    Ok(())
}
