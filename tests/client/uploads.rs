//! Files that are sent in pieces, and go on where the connection broke.

use std::io::Cursor;

use modeller::prelude::*;
use modeller_tests::proxy::Proxy;
use serde_json::json;

use crate::support::{User, client_at, served};

fn bytes(size: usize) -> Vec<u8> {
    (0..size).map(|at| (at * 7 % 251) as u8).collect()
}

fn sum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |sum: u64, byte| sum.wrapping_mul(31).wrapping_add(u64::from(*byte)))
}

#[tokio::test]
async fn files_go_on_where_the_connection_broke() {
    let served = served().await;
    let proxy = Proxy::start(served.addr).await;
    let users = client_at(proxy.addr).model::<User>();
    let file = bytes(5_000_000);
    proxy.cut_after([1_500_000, 700_000, 100_000]);
    let mut told = Vec::new();
    let answer = users
        .call_upload("portrait", Cursor::new(&file), json!({"email": "ada"}))
        .filename("ä.png")
        .progress(|sent, total| told.push((sent, total)))
        .await
        .unwrap();
    assert_eq!(answer, json!({"sum": sum(&file), "size": 5_000_000, "of": "ada", "name": "ä.png"}));
    assert_eq!(proxy.cuts(), 3);
    assert!(told.is_sorted() && told.len() >= 3, "{told:?}");
    assert_eq!(told.last(), Some(&(5_000_000, 5_000_000)));

    let none = users.call_upload("portrait", Cursor::new(b""), json!({"email": "eve"})).await.unwrap();
    assert_eq!((&none["size"], &none["of"]), (&json!(0), &json!("eve")));
}

#[tokio::test]
async fn refusals_are_those_of_the_handler() {
    let served = served().await;
    let users = served.users();
    let error = users.call_upload("portrait", Cursor::new(bytes(13)), json!({"email": "x"})).await.unwrap_err();
    assert_eq!((error.code().as_str(), error.http_status()), ("UNLUCKY", 409));
    let error = users.call_upload("portrait", Cursor::new(bytes(5)), json!({})).await.unwrap_err();
    assert_eq!(error.code(), &ErrorCode::ValidationError);
    let error = users.call_upload("nothing", Cursor::new(bytes(5)), json!({})).await.unwrap_err();
    assert_eq!(error.code(), &ErrorCode::UploadNotFound);
}
