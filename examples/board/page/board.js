// The page of the board. What is on it is the list of a live query, and over that what this window has asked for and has not yet been
// answered: a card is moved at once, and goes back where it was when the server refuses.
import { connect, ModellerError } from "./client.js";
const state = document.querySelector("#state");
const message = document.querySelector("#message");
const sections = [...document.querySelectorAll("section")];
const client = connect({ url: location.origin, onOnline: (online) => show(online) });
const live = client.cards.live({ sort: { rank: 1 }, limit: 1000 });
/** Where cards are for this window until the server has said so. */
const moved = new Map();
let dragged = null;
function show(online) {
    state.dataset["online"] = String(online);
    state.textContent = online ? "live" : "offline: what you do is not sent";
}
function tell(text) {
    message.textContent = text;
    setTimeout(() => {
        if (message.textContent === text)
            message.textContent = "";
    }, 4000);
}
function cards() {
    const all = live.items.map((card) => ({ ...card, ...moved.get(card._id) }));
    return all.sort((a, b) => a.rank - b.rank || (a._id < b._id ? -1 : 1));
}
function render() {
    const all = cards();
    for (const section of sections) {
        const here = all.filter((card) => card.column === section.dataset["column"]);
        section.querySelector("h2 span").textContent = String(here.length);
        section.querySelector("ul").replaceChildren(...here.map(item));
    }
}
function item(card) {
    const element = document.createElement("li");
    element.draggable = true;
    element.dataset["id"] = card._id;
    element.classList.toggle("pending", moved.has(card._id));
    element.append(card.title);
    const remove = document.createElement("button");
    remove.textContent = "✕";
    remove.title = "Delete";
    remove.onclick = () => attempt(client.cards.delete(card._id));
    element.append(remove);
    element.ondragstart = (event) => {
        dragged = card._id;
        event.dataTransfer?.setData("text/plain", card._id);
    };
    return element;
}
/** Says why when it is refused. */
async function attempt(what) {
    try {
        await what;
    }
    catch (error) {
        tell(error instanceof ModellerError ? error.message : String(error));
    }
}
async function place(id, column, before) {
    const others = cards().filter((card) => card.column === column && card._id !== id);
    const at = before === null ? others.length : others.findIndex((card) => card._id === before);
    const [above, below] = [others[at - 1]?.rank, others[at]?.rank];
    const rank = above === undefined ? (below ?? 1) - 1 : below === undefined ? above + 1 : (above + below) / 2;
    const move = { column, rank };
    moved.set(id, move);
    render();
    await attempt(client.cards.place({ card: id, column, rank }));
    // The frame of the move came before its answer, and a refusal brings the card back. Another move may have followed.
    if (moved.get(id) === move)
        moved.delete(id);
    render();
}
for (const section of sections) {
    section.ondragover = (event) => {
        event.preventDefault();
        section.classList.add("over");
    };
    section.ondragleave = () => section.classList.remove("over");
    section.ondrop = (event) => {
        event.preventDefault();
        section.classList.remove("over");
        const target = event.target.closest("li");
        const id = dragged;
        dragged = null;
        if (id !== null)
            void place(id, section.dataset["column"], target?.dataset["id"] ?? null);
    };
}
document.querySelector("form").onsubmit = (event) => {
    event.preventDefault();
    const form = event.target;
    const input = form.elements.namedItem("title");
    const rank = Math.max(0, ...cards().map((card) => card.rank)) + 1;
    void attempt(client.cards.insert({ title: input.value, rank }));
    input.value = "";
};
live.on(render);
live.onEnd((error) => tell(error.message));
