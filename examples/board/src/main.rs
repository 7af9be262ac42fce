//! A kanban board that several people share: each sees at once what the others do, and nobody has more than three things in work.
//!
//! `cargo run -p board`, and open <http://127.0.0.1:3030> in two windows. The page is `page/board.ts`; it uses the client that is
//! generated from this program.

use modeller::prelude::*;
use modeller::server::RouteResponse;

/// How many cards may be in work at a time.
const MOST_IN_WORK: usize = 3;

/// A card on the board.
#[model(id = "cards", public)]
pub struct Card {
    #[field(min_length = 1, max_length = 80)]
    pub title: String,
    #[field(index, default)]
    pub column: Column,
    /// Cards of a column are in the order of this; one between two others has a number between theirs.
    #[field(default)]
    pub rank: f64,
}

/// Where a card is.
#[value]
#[derive(Default, PartialEq)]
pub enum Column {
    #[default]
    Todo,
    Doing,
    Done,
}

/// Where a card goes.
#[value]
pub struct Move {
    pub card: Id<Card>,
    pub column: Column,
    pub rank: f64,
}

/// Moves a card, unless too much is in work then. Two who move at once are counted one after the other.
#[method(Card)]
async fn place(args: Move, cards: Model<Card>) -> Result<Doc<Card>> {
    let others = Card::COLUMN.eq(Column::Doing) & !Card::_ID.eq(&args.card);
    if args.column == Column::Doing && cards.count(others).await? >= MOST_IN_WORK {
        let text = format!("no more than {MOST_IN_WORK} cards are in work at a time");
        return Err(Error::new(ErrorCode::from("TOO_MUCH_IN_WORK")).message(text));
    }
    cards.update(args.card, Card::COLUMN.set(args.column) & Card::RANK.set(args.rank)).await
}

fn file(media: &'static str, content: &'static str) -> RouteResponse {
    RouteResponse::new(([("content-type", media)], content))
}

#[route(GET, "/")]
async fn page() -> Result<RouteResponse> {
    Ok(file("text/html; charset=utf-8", include_str!("../page/index.html")))
}

#[route(GET, "/page/board.js")]
async fn script() -> Result<RouteResponse> {
    Ok(file("text/javascript", include_str!("../page/board.js")))
}

#[route(GET, "/page/client.js")]
async fn client() -> Result<RouteResponse> {
    Ok(file("text/javascript", include_str!("../page/client.js")))
}

#[modeller::main]
async fn main() -> Result<()> {
    App::discover().serve("127.0.0.1:3030").await
}
