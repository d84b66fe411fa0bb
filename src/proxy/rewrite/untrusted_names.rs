//! Names of headers that clients may not send to an app, from a survey of software that trusts them:
//! client addresses, identities, and overrides of the URL, the method or the scheme. A prefix drops
//! a whole family.

// The list covers headers that the following software reads or sets:
//
// * gateways for sign-in: Authelia, authentik, oauth2-proxy, Pomerium, Vouch, Keycloak Gatekeeper
//   (Louketo), Caddy Security, Cloudflare Access, Tailscale, Teleport, Google IAP, Azure App Service
//   ("Easy Auth"), AWS ALB, IBM WebSEAL, SiteMinder, Oracle Access Manager, Shibboleth,
//   mod_auth_openidc, mod_auth_mellon, Kong, APISIX, WSO2, Okta Access Gateway;
// * proxies, clouds and CDNs: nginx, Apache, HAProxy, Envoy and Istio, Traefik, Caddy, IIS and ARR,
//   WebLogic, F5, Zscaler, Blue Coat, Akamai, Fastly, CloudFront, Cloudflare, Imperva, Sucuri, Azure
//   Front Door, App Engine, AWS API Gateway, Fly.io, Netlify, Vercel;
// * frameworks and servers: PHP and CGI, Symfony, Laminas (Zend), Yii, ThinkPHP, Rails and Rack,
//   Django, Flask and Werkzeug, Tornado, CherryPy, Spring, Express, Next.js, React Router, ASP.NET
//   Core, iisnode, HttpPlatformHandler;
// * apps that take a proxy's word: Grafana, Jenkins, Nextcloud, Kubernetes, Elasticsearch,
//   OpenSearch, CouchDB, OpenStack, NiFi, Artifactory, Graylog, Posit (RStudio), Shiny Server, Home
//   Assistant, Exchange.
//
// Credentials of the app itself (`Authorization`, `X-Auth-Token`, `X-Api-Key`, `X-CSRF-Token`, …) and
// headers with which its own clients name a user (`X-Trino-User`, `X-Scope-OrgID`,
// `X-Grafana-Org-Id`) pass. `apps.strip_headers` removes those.

/// Names to drop: families by their prefix, and single names.
pub(in crate::proxy) struct Managed {
    pub(in crate::proxy) families: &'static [&'static str],
    pub(in crate::proxy) names: &'static [&'static str],
}

/// Members of these families that clients may send.
pub(in crate::proxy) const HARMLESS: [&str; 1] = ["x-user-agent"];

/// Returns the names that share their first letter with `name`, or the first one after `x-`. Common
/// request headers share it with few.
pub(in crate::proxy) fn like(name: &str) -> Managed {
    let (families, names) = match *name.as_bytes() {
        [b'x', b'-', letter, ..] => under_x(letter),
        [letter, ..] => under(letter),
        [] => (&[][..], &[][..]),
    };
    Managed { families, names }
}

type Lists = (&'static [&'static str], &'static [&'static str]);

#[expect(clippy::too_many_lines, reason = "a list")]
pub(in crate::proxy) fn under(letter: u8) -> Lists {
    match letter {
        b'a' => (
            &["akamai-", "ali-cdn-", "authenticated-", "authorization-user"],
            &[
                "affiliation",
                "auth-email",
                "auth-group",
                "auth-groups",
                "auth-name",
                "auth-roles",
                "auth-type",
                "auth-user",
            ],
        ),
        b'b' => (&[], &["base-url"]),
        b'c' => (
            &["cas-", "cf-access-", "cf-connecting-", "client-cert", "client-verif", "cloudfront-"],
            &[
                "cf-ipcountry",
                "cf-pseudo-ipv4",
                "cf-visitor",
                "cf-worker",
                "client-ip",
                "clientip",
                "clientprotocol",
                "cn",
                "coming-from",
            ],
        ),
        b'd' => (&["destination-url"], &["disguised-host", "displayname", "document-root"]),
        b'e' => (&["eduperson", "es-security-"], &["entitlement", "eppn", "eptid"]),
        b'f' => (&["fastly-", "fly-", "forwarded-"], &["forwarded", "front-end-https"]),
        b'g' => (&["gap-", "gss-"], &["givenname", "groups"]),
        b'h' => (&["http-", "httpplatform-"], &["host-override", "http2-settings", "https"]),
        b'i' => (&["iis-", "impersonate-", "incap-", "iv-"], &["ismemberof"]),
        b'j' => (&["jwt-claim"], &[]),
        b'k' => (&["kerberos-"], &[]),
        b'l' => (&[], &["logon-user"]),
        b'm' => (&["mellon-", "ms-aspnetcore-"], &["mail", "method", "method-override", "msisdn"]),
        b'o' => (&["oam-", "oidc-", "original-", "osso-"], &["orig-path-info"]),
        b'p' => (
            &["php-auth-", "proxy-client-", "proxy-remote-", "proxy-user"],
            &[
                "path-info",
                "path-translated",
                "persistent-id",
                "primary-affiliation",
                "proxy",
                "proxy-host",
                "proxy-port",
                "proxy-ssl",
            ],
        ),
        b'q' => (&[], &["query-string"]),
        b'r' => (
            &["redirect-", "remote-", "rewrite-", "rsc-", "rstudio-"],
            &["realip", "request-method", "request-uri", "request-url", "role", "roles"],
        ),
        b's' => (
            &["saml-", "shib", "shiny-server-", "sm-", "ssl-", "sso-"],
            &[
                "script-name",
                "server-name",
                "server-port",
                "server-protocol",
                "sn",
                "surrogate-capability",
            ],
        ),
        b't' => (&["tailscale-", "teleport-", "true-client-"], &["targeted-id"]),
        b'u' => (
            &["unencoded-"],
            &[
                "unscoped-affiliation",
                "url-scheme",
                "user",
                "user-dn",
                "user-email",
                "user-group",
                "user-groups",
                "user-id",
                "user-name",
                "user-role",
                "user-roles",
                "userid",
                "username",
            ],
        ),
        b'v' => (&["vestibule-", "vouch-"], &[]),
        b'w' => (&["wl-proxy-"], &["was-default-hostname"]),
        _ => (&[], &[]),
    }
}

#[expect(clippy::too_many_lines, reason = "a list")]
pub(in crate::proxy) fn under_x(letter: u8) -> Lists {
    match letter {
        b'a' => (
            &[
                "x-accel-",
                "x-act-as",
                "x-akamai-",
                "x-amzn-mtls-",
                "x-amzn-oidc-",
                "x-amzn-tls-",
                "x-apigateway-",
                "x-apisix-",
                "x-app-root",
                "x-appengine-",
                "x-appservice-",
                "x-arr-",
                "x-artifactory-override-",
                "x-auth-audience",
                "x-auth-claim",
                "x-auth-couchdb-",
                "x-auth-email",
                "x-auth-group",
                "x-auth-name",
                "x-auth-principal",
                "x-auth-request-",
                "x-auth-role",
                "x-auth-subject",
                "x-auth-user",
                "x-auth0-",
                "x-authelia-",
                "x-authenticated",
                "x-authentik-",
                "x-authn-",
                "x-authz-",
                "x-azure-",
            ],
            &[
                "x-admin",
                "x-amzn-lambda-context",
                "x-amzn-request-context",
                "x-anonymous-consumer",
                "x-authentication-user",
                "x-authorization-user",
            ],
        ),
        b'b' => (&["x-backend-host", "x-base-", "x-bluecoat-"], &[]),
        b'c' => (
            &[
                "x-cas-",
                "x-cert-",
                "x-client-addr",
                "x-client-auth",
                "x-client-cert",
                "x-client-cn",
                "x-client-dn",
                "x-client-email",
                "x-client-fingerprint",
                "x-client-host",
                "x-client-ip",
                "x-client-issuer",
                "x-client-port",
                "x-client-proto",
                "x-client-real",
                "x-client-remote",
                "x-client-s-dn",
                "x-client-san",
                "x-client-scheme",
                "x-client-serial",
                "x-client-ssl",
                "x-client-subject",
                "x-client-tls",
                "x-client-user",
                "x-client-verif",
                "x-cluster-client-",
                "x-consumer-",
                "x-context-path",
                "x-credential-",
            ],
            &[
                "x-cn",
                "x-coming-from",
                "x-comingfrom",
                "x-commonaccesstoken",
                "x-custom-ip-authorization",
            ],
        ),
        b'd' => (&[], &["x-display-name", "x-displayname", "x-dn"]),
        b'e' => (&["x-email", "x-endpoint-api-", "x-envoy-", "x-external-"], &[]),
        b'f' => (&["x-forward-", "x-forwarded", "x-forwared-"], &["x-fullname"]),
        b'g' => (
            &["x-gateway-user", "x-goog-authenticated-", "x-goog-iap-", "x-group"],
            &["x-google-real-ip", "x-grafana-id", "x-grafana-user", "x-graylog-server-url"],
        ),
        b'h' => (
            &["x-http-dest", "x-http-host", "x-http-method", "x-http-path", "x-http-uri"],
            &["x-h3g-msisdn", "x-host", "x-host-ip", "x-host-override", "x-https"],
        ),
        b'i' => (
            &[
                "x-identity",
                "x-iisnode-",
                "x-impersonate",
                "x-incap-",
                "x-invoke-",
                "x-istio-",
                "x-iv-",
            ],
            &["x-id-token", "x-ingress-path", "x-ip", "x-is-admin"],
        ),
        b'j' => (&["x-jfrog-override-", "x-jwt-assertion", "x-jwt-claim", "x-jwt-payload"], &[]),
        b'k' => (&["x-kerberos", "x-keycloak-", "x-kong-", "x-krb"], &[]),
        b'l' => (&["x-ldap-"], &["x-login", "x-logon-user"]),
        b'm' => (
            &[
                "x-member-of",
                "x-memberof",
                "x-method-override",
                "x-middleware-",
                "x-ms-client-ip",
                "x-ms-client-principal",
                "x-ms-forwarded-",
                "x-ms-original-",
                "x-ms-token-",
                "x-mtls-",
            ],
            &["x-mail", "x-matched-path", "x-method", "x-msisdn"],
        ),
        b'n' => (&["x-nf-", "x-nokia-", "x-novell-", "x-nt-", "x-ntlm-"], &["x-now-route-matches"]),
        b'o' => (
            &[
                "x-oidc-",
                "x-okta-",
                "x-on-behalf-of",
                "x-openid",
                "x-origin-ip",
                "x-original-",
                "x-originating-",
                "x-override-",
            ],
            &[],
        ),
        b'p' => (
            &["x-path-prefix", "x-peer-", "x-pomerium-", "x-principal", "x-prox"],
            &["x-path-info", "x-permissions", "x-proto", "x-protocol"],
        ),
        b'r' => (
            &[
                "x-react-router-",
                "x-real-",
                "x-remote-",
                "x-replaced-",
                "x-rewrite-",
                "x-role",
                "x-root-path",
                "x-rsc-",
                "x-rstudio-",
                "x-run-as",
            ],
            &[
                "x-request-id",
                "x-request-method",
                "x-request-path",
                "x-request-uri",
                "x-request-url",
            ],
        ),
        b's' => (
            &[
                "x-saml-",
                "x-script-",
                "x-sendfile",
                "x-server-name",
                "x-server-port",
                "x-servlet-",
                "x-shib",
                "x-siteminder",
                "x-sm-",
                "x-ssl",
                "x-sso-",
                "x-subject",
                "x-sucuri-",
            ],
            &["x-scheme", "x-secure", "x-site-deployment-id", "x-source-ip", "x-src-ip"],
        ),
        b't' => (
            &[
                "x-tailscale-",
                "x-teleport-",
                "x-tls-",
                "x-token-subject",
                "x-token-user",
                "x-true-",
            ],
            &[],
        ),
        b'u' => (
            &["x-up-calling-line-id", "x-up-subno", "x-user"],
            &["x-uid", "x-uname", "x-unencoded-url", "x-uri", "x-url", "x-url-scheme"],
        ),
        b'v' => (&["x-vercel-", "x-vestibule-", "x-vouch-"], &[]),
        b'w' => (&["x-waws-", "x-webauth-"], &["x-wap-profile"]),
        b'z' => (&["x-zscaler-"], &[]),
        _ => (&[], &[]),
    }
}
