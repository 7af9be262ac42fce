//! Many callers on few documents: nothing is lost, nothing is answered that should not be.

use modeller::prelude::*;

#[model(id = "accounts")]
pub struct Account {
    #[field(unique)]
    pub owner: String,
    pub balance: i64,
}

#[value]
pub struct Nothing {}

/// Reads and writes: loses against every other run of itself.
#[method(Account)]
async fn earn(accounts: Model<Account>) -> Result<i64> {
    let account = accounts.get(Account::OWNER.eq("ada")).await?.ok_or_else(|| Error::new("NOBODY"))?;
    let account = accounts.update(&account, Account::BALANCE.set(account.balance + 1)).await?;
    Ok(account.balance)
}

async fn app() -> App {
    App::new().model::<Account>().in_memory().open().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_two_hundred_gets_a_unique_value() {
    let app = app().await;
    let tasks: Vec<_> = (0..200)
        .map(|balance| {
            let accounts = app.model::<Account>();
            tokio::spawn(async move { accounts.insert(Account { owner: "ada".into(), balance }).await })
        })
        .collect();
    let mut stored = Vec::new();
    for task in tasks {
        match task.await.unwrap() {
            Ok(doc) => stored.push(doc),
            Err(error) => assert_eq!(error.code(), &ErrorCode::UniqueViolation),
        }
    }
    assert_eq!(stored.len(), 1);
    assert_eq!(app.model::<Account>().find(Filter::all()).await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn increments_are_exact_and_nobody_conflicts() {
    const CALLERS: i64 = 64;
    const EACH: i64 = 500;
    let app = app().await;
    let ada = app.model::<Account>().insert(Account { owner: "ada".into(), balance: 0 }).await.unwrap();
    let tasks: Vec<_> = (0..CALLERS)
        .map(|_| {
            let accounts = app.model::<Account>();
            let id = ada.id();
            tokio::spawn(async move {
                for _ in 0..EACH {
                    accounts.update(&id, Account::BALANCE.inc(1)).await.unwrap();
                    accounts.earn().await.unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let ada = app.model::<Account>().get(ada.id()).await.unwrap().unwrap();
    assert_eq!(ada.balance, 2 * CALLERS * EACH);
}
