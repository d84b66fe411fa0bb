// Asks the browser for a passkey or security key. Where this file doesn't run, the pages lead to codes.
//
// The options are on the page, in #webauthn-options. The answer goes into the field `credential` of the
// form marked data-key, and the form is sent.
"use strict";
(() => {
  const source = document.getElementById("webauthn-options");
  const form = document.querySelector("form[data-key]");
  if (!source || !form) return;
  const problem = form.querySelector("[data-key-problem]");
  const say = (sentence) => {
    problem.textContent = sentence;
    problem.hidden = sentence === "";
  };
  if (!window.PublicKeyCredential || !navigator.credentials) {
    for (const part of document.querySelectorAll("[data-key-unsupported]")) part.hidden = false;
    return;
  }

  const bytes = (text) => Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (c) => c.charCodeAt(0));
  const text = (buffer) => btoa(String.fromCharCode(...new Uint8Array(buffer)))
    .replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
  const named = (list) => (list ?? []).map((one) => ({ ...one, id: bytes(one.id) }));
  const readOptions = () => {
    const options = JSON.parse(source.textContent).publicKey;
    options.challenge = bytes(options.challenge);
    if (options.user) {
      options.user.id = bytes(options.user.id);
      options.excludeCredentials = named(options.excludeCredentials);
    } else {
      options.allowCredentials = named(options.allowCredentials);
    }
    return options;
  };
  const written = (credential) => {
    const answer = credential.response;
    const response = { clientDataJSON: text(answer.clientDataJSON) };
    for (const part of ["attestationObject", "authenticatorData", "signature", "userHandle"]) {
      if (answer[part]) response[part] = text(answer[part]);
    }
    if (answer.getTransports) response.transports = answer.getTransports();
    return JSON.stringify({
      id: credential.id,
      rawId: text(credential.rawId),
      type: credential.type,
      authenticatorAttachment: credential.authenticatorAttachment ?? null,
      response,
      clientExtensionResults: credential.getClientExtensionResults(),
    });
  };

  const options = readOptions();
  const sentences = {
    NotAllowedError: "That was cancelled, or it took too long. Nothing was sent. You can try again.",
    InvalidStateError: "This device or key is registered for your account already.",
    SecurityError: "Your browser doesn't accept keys at this address.",
    NotSupportedError: "This device or key can't be used here.",
  };
  let waiting = null;
  const ask = async (conditional) => {
    if (waiting) waiting.abort();
    const own = new AbortController();
    waiting = own;
    const request = { publicKey: options, signal: own.signal };
    if (conditional) request.mediation = "conditional";
    if (!conditional) say("");
    try {
      const credentials = navigator.credentials;
      const credential = await (options.user ? credentials.create(request) : credentials.get(request));
      if (waiting !== own || !credential) return;
      form.elements.credential.value = written(credential);
      form.requestSubmit();
    } catch (error) {
      if (waiting !== own || error.name === "AbortError") return;
      waiting = null;
      if (!conditional) say(sentences[error.name] ?? "The key didn't answer. You can try again.");
    }
  };

  for (const button of document.querySelectorAll("[data-key-ask]")) {
    button.hidden = false;
    button.addEventListener("click", (event) => {
      event.preventDefault();
      if (form.reportValidity()) ask(false);
    });
  }

  // Enter in a field of the form does what the button does. Ahead of other listeners, so that none of
  // them takes this for the form that is sent.
  form.addEventListener("submit", (event) => {
    if (form.elements.credential.value !== "") return;
    event.preventDefault();
    event.stopImmediatePropagation();
    ask(false);
  }, true);

  // Autofill on the sign-in page: passkeys are offered in the field for the user name.
  if ("keyAutofill" in form.dataset && PublicKeyCredential.isConditionalMediationAvailable) {
    PublicKeyCredential.isConditionalMediationAvailable().then((available) => {
      if (available && !waiting) ask(true);
    });
  }

  // The challenge expires. A page that waited longer is loaded anew when its user comes back, unless
  // something was typed.
  const stale = Date.now() + options.timeout;
  const typed = () => [...document.querySelectorAll("input:not([type=hidden])")]
    .some((input) => input.value !== input.defaultValue);
  const refresh = () => {
    // Not a reload, which would send a form again.
    if (Date.now() > stale && !document.hidden && !typed()) location.replace(location.pathname + location.search);
  };
  window.addEventListener("focus", refresh);
  document.addEventListener("visibilitychange", refresh);
})();
