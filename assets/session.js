// Announces the end of the session two minutes before, and offers to go on. Pages of an app include it:
// <script src="/_auth/assets/session.js" defer></script>
"use strict";
(() => {
  const NOTICE = 120;
  const STYLE = `
    :host { all: initial; }
    div { position: fixed; inset: auto 0 0 0; z-index: 2147483647; display: flex; flex-wrap: wrap; gap: .75rem;
      align-items: center; justify-content: center; padding: .75rem 1rem; font: 1rem/1.4 system-ui, sans-serif;
      color: #fff; background: #1f2933; }
    p { margin: 0; }
    button, a { font: inherit; padding: .4rem .9rem; border: 1px solid #fff; border-radius: .3rem; color: #1f2933;
      background: #fff; cursor: pointer; text-decoration: none; }
    button.quiet { color: #fff; background: transparent; }
    button:focus-visible, a:focus-visible { outline: 3px solid #ffd166; outline-offset: 2px; }`;

  let bar = null;
  let closed = false;
  let timer = 0;

  const element = (name, text, attributes = {}) => {
    const made = document.createElement(name);
    made.textContent = text;
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    return made;
  };

  const hide = () => {
    bar?.remove();
    bar = null;
  };

  // A constructed style sheet needs no permission of the page's content security policy.
  const show = (text, ...actions) => {
    if (bar?.dataset.text === text) return;
    hide();
    bar = document.createElement("vestibule-session");
    bar.dataset.text = text;
    const root = bar.attachShadow({ mode: "open" });
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(STYLE);
    root.adoptedStyleSheets = [sheet];
    const box = element("div", "", { role: "region", "aria-label": "Your session" });
    const words = element("p", "", { role: "alert" });
    const close = element("button", "Close", { type: "button", class: "quiet" });
    close.addEventListener("click", () => { closed = true; hide(); });
    box.append(words, ...actions, close);
    root.append(box);
    document.body.append(bar);
    // Screen readers announce what changes in an alert that is there already.
    requestAnimationFrame(() => { words.textContent = text; });
  };

  const later = (seconds) => {
    clearTimeout(timer);
    timer = setTimeout(check, Math.min(Math.max(seconds, 1), 3600) * 1000);
  };

  const judge = async (answer) => {
    if (answer.status === 401) {
      const back = encodeURIComponent(location.pathname + location.search);
      show("Your session has ended.", element("a", "Sign in", { href: `/_auth/login?return_to=${back}` }));
      return later(30);
    }
    if (!answer.ok) return later(30);
    const session = await answer.json();
    const left = Math.min(session.expires_in, session.idle_expires_in);
    if (left > NOTICE) {
      closed = false;
      hide();
      return later(left - NOTICE);
    }
    if (!closed) {
      if (session.expires_in <= session.idle_expires_in) {
        show("Your session ends in less than two minutes, and you will have to sign in again. Save your work now.");
      } else {
        const stay = element("button", "Stay signed in", { type: "button", id: "stay" });
        stay.addEventListener("click", extend);
        show("Your session ends in less than two minutes, because you have not used it.", stay);
      }
    }
    // Another tab may extend it, and the end is not far.
    later(Math.min(left + 1, 15));
  };

  const ask = (path) =>
    fetch(path, { cache: "no-store", credentials: "same-origin" }).then(judge).catch(() => later(30));
  const check = () => ask("/_auth/session");
  const extend = () => ask("/_auth/session/extend");

  document.addEventListener("visibilitychange", () => { if (!document.hidden) check(); });
  check();
})();
