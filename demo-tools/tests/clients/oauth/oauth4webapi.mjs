// `oauth4webapi` through everything that the authorization server offers. Reads one JSON object from stdin:
//   {"issuer", "resource", "redirect_uri", "user": {"username", "password"},
//    "service": {"id", "secret"}, "device": {"id"}}
// and prints one JSON report; the assertions are the caller's.
import * as oauth from 'oauth4webapi';
import { DEVICE_GRANT, recorder, refusal, run, tokens, visit, withIssuer } from './common.mjs';

await run(async task => {
  const wire = [];
  const issuer = new URL(task.issuer);
  const { resource, redirect_uri } = task;
  const plainly = { [oauth.allowInsecureRequests]: true, [oauth.customFetch]: recorder(wire) };
  const report = { wire };

  const discovered = await oauth.discoveryRequest(issuer, { ...plainly, algorithm: 'oauth2' });
  const as = await oauth.processDiscoveryResponse(issuer, discovered);
  report.metadata = as;
  const registration = {
    client_name: 'oauth4webapi',
    redirect_uris: [redirect_uri],
    grant_types: ['authorization_code', 'refresh_token'],
    token_endpoint_auth_method: 'none',
  };
  const client = await oauth.processDynamicClientRegistrationResponse(
    await oauth.dynamicClientRegistrationRequest(as, registration, plainly),
  );
  report.registered = client;
  const none = oauth.None();

  const bound = { ...plainly, DPoP: oauth.DPoP(client, await oauth.generateKeyPair('ES256')) };
  report.key = await bound.DPoP.calculateThumbprint();
  const [verifier, state, nonce] = [oauth.generateRandomCodeVerifier(), oauth.generateRandomState(), oauth.generateRandomNonce()];
  const pushed = await withNonce(async () => {
    const asked = {
      response_type: 'code',
      redirect_uri,
      resource,
      scope: 'openid profile notes:read',
      code_challenge: await oauth.calculatePKCECodeChallenge(verifier),
      code_challenge_method: 'S256',
      state,
      nonce,
    };
    const response = await oauth.pushedAuthorizationRequest(as, client, none, asked, bound);
    return oauth.processPushedAuthorizationResponse(as, client, response);
  });
  const url = new URL(as.authorization_endpoint);
  url.searchParams.set('client_id', client.client_id);
  url.searchParams.set('request_uri', pushed.request_uri);
  const { callback, seen } = await visit(task, url);
  report.pushed = seen;
  const validate = async at => oauth.validateAuthResponse(as, client, at, state);
  report.without_issuer = await refusal(validate(withIssuer(callback)));
  report.other_issuer = await refusal(validate(withIssuer(callback, 'https://attacker.example')));
  const answer = await validate(callback);
  const first = await withNonce(async () => {
    const extra = { ...bound, additionalParameters: { resource } };
    const response = await oauth.authorizationCodeGrantRequest(as, client, none, answer, redirect_uri, verifier, extra);
    const checks = { expectedNonce: nonce, requireIdToken: true };
    const processed = await oauth.processAuthorizationCodeResponse(as, client, response, checks);
    // the library leaves it to its user to look at the signature of what came over TLS
    await oauth.validateApplicationLevelSignature(as, response, plainly);
    return processed;
  });
  report.first = tokens(first);
  report.id_token = oauth.getValidatedIdTokenClaims(first);
  report.nonce = nonce;
  report.userinfo = await withNonce(async () => {
    const response = await oauth.userInfoRequest(as, client, first.access_token, bound);
    return oauth.processUserInfoResponse(as, client, report.id_token.sub, response);
  });

  const refresh = (token, how) =>
    withNonce(async () => {
      const extra = { ...how, additionalParameters: { resource } };
      const response = await oauth.refreshTokenGrantRequest(as, client, none, token, extra);
      return oauth.processRefreshTokenResponse(as, client, response);
    });
  const thief = { ...plainly, DPoP: oauth.DPoP(client, await oauth.generateKeyPair('ES256')) };
  report.refresh_with_other_key = await refusal(refresh(first.refresh_token, thief));
  const second = await refresh(first.refresh_token, bound);
  report.second = tokens(second);

  const service = { client_id: task.service.id };
  const secret = oauth.ClientSecretPost(task.service.secret);
  const introspect = async (who, how) => {
    const response = await oauth.introspectionRequest(as, who, how, second.access_token, plainly);
    return oauth.processIntrospectionResponse(as, who, response);
  };
  const revoke = async token => oauth.processRevocationResponse(await oauth.revocationRequest(as, client, none, token, plainly));
  report.introspected = await introspect(service, secret);
  report.introspected_by_public_client = await refusal(introspect(client, none));
  await revoke(second.access_token);
  report.after_revocation = await introspect(service, secret);
  await revoke(second.refresh_token);
  report.refresh_after_revocation = await refusal(refresh(second.refresh_token, bound));

  // a client with a secret, and tokens that are bound to nothing
  const other = oauth.generateRandomCodeVerifier();
  const asking = new URL(as.authorization_endpoint);
  const asked = {
    response_type: 'code',
    client_id: service.client_id,
    redirect_uri,
    resource,
    scope: 'notes:read notes:write',
    code_challenge: await oauth.calculatePKCECodeChallenge(other),
    code_challenge_method: 'S256',
    state,
  };
  for (const [name, value] of Object.entries(asked)) asking.searchParams.set(name, value);
  const plain = await visit(task, asking);
  report.plain = plain.seen;
  const extra = { ...plainly, additionalParameters: { resource } };
  const bearer = await oauth.processAuthorizationCodeResponse(
    as,
    service,
    await oauth.authorizationCodeGrantRequest(
      as,
      service,
      secret,
      oauth.validateAuthResponse(as, service, plain.callback, state),
      redirect_uri,
      other,
      extra,
    ),
  );
  report.bearer = tokens(bearer);
  report.bearer_refreshed = tokens(
    await oauth.processRefreshTokenResponse(
      as,
      service,
      await oauth.refreshTokenGrantRequest(as, service, secret, bearer.refresh_token, extra),
    ),
  );
  report.service = tokens(
    await oauth.processClientCredentialsResponse(
      as,
      service,
      await oauth.clientCredentialsGrantRequest(as, service, secret, { resource, scope: 'notes:read' }, plainly),
    ),
  );

  const device = { client_id: task.device.id };
  const codes = await oauth.processDeviceAuthorizationResponse(
    as,
    device,
    await oauth.deviceAuthorizationRequest(as, device, none, { resource, scope: 'notes:read' }, plainly),
  );
  const { device_code, ...shown } = codes;
  report.device = shown;
  const poll = async () => {
    const response = await oauth.deviceCodeGrantRequest(as, device, none, device_code, plainly);
    return oauth.processDeviceCodeResponse(as, device, response);
  };
  report.polls = [(await refusal(poll())).error, (await refusal(poll())).error];
  return report;
});

/** Asks again, once, with the nonce that the server wants: the library leaves that to its user. */
async function withNonce(ask) {
  try {
    return await ask();
  } catch (error) {
    if (!oauth.isDPoPNonceError(error)) throw error;
    return ask();
  }
}
