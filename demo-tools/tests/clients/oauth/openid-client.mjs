// `openid-client` through everything that the authorization server offers. Reads one JSON object from stdin:
//   {"issuer", "resource", "redirect_uri", "user": {"username", "password"},
//    "service": {"id", "secret"}, "device": {"id"}}
// and prints one JSON report; the assertions are the caller's.
import * as client from 'openid-client';
import { DEVICE_GRANT, connect, recorder, refusal, run, tokens, visit, withIssuer } from './common.mjs';

await run(async task => {
  const wire = [];
  const issuer = new URL(task.issuer);
  const { resource, redirect_uri } = task;
  const options = { execute: [client.allowInsecureRequests], [client.customFetch]: recorder(wire) };
  const report = { wire };

  const config = await client.dynamicClientRegistration(
    issuer,
    {
      client_name: 'openid-client',
      redirect_uris: [redirect_uri],
      grant_types: ['authorization_code', 'refresh_token'],
      token_endpoint_auth_method: 'none',
    },
    client.None(),
    options,
  );
  // the library leaves it to its user whether the signature of what came over TLS is looked at
  client.enableNonRepudiationChecks(config);
  report.metadata = config.serverMetadata();
  report.registered = config.clientMetadata();

  const bound = { DPoP: client.getDPoPHandle(config, await client.randomDPoPKeyPair()) };
  report.key = await bound.DPoP.calculateThumbprint();
  const [verifier, state, nonce] = [client.randomPKCECodeVerifier(), client.randomState(), client.randomNonce()];
  const url = await client.buildAuthorizationUrlWithPAR(
    config,
    {
      redirect_uri,
      resource,
      scope: 'openid profile notes:read',
      code_challenge: await client.calculatePKCECodeChallenge(verifier),
      code_challenge_method: 'S256',
      state,
      nonce,
    },
    bound,
  );
  const { callback, seen } = await visit(task, url);
  report.pushed = seen;
  const checks = { pkceCodeVerifier: verifier, expectedState: state, expectedNonce: nonce, idTokenExpected: true };
  const redeem = at => client.authorizationCodeGrant(config, at, { ...checks }, { resource }, bound);
  report.without_issuer = await refusal(redeem(withIssuer(callback)));
  report.other_issuer = await refusal(redeem(withIssuer(callback, 'https://attacker.example')));
  const first = await redeem(callback);
  report.first = tokens(first);
  report.id_token = first.claims();
  report.nonce = nonce;
  report.userinfo = await client.fetchUserInfo(config, first.access_token, report.id_token.sub, bound);

  const thief = { DPoP: client.getDPoPHandle(config, await client.randomDPoPKeyPair()) };
  report.refresh_with_other_key = await refusal(client.refreshTokenGrant(config, first.refresh_token, {}, thief));
  const second = await client.refreshTokenGrant(config, first.refresh_token, { resource }, bound);
  report.second = tokens(second);

  const service = await client.discovery(issuer, task.service.id, undefined, client.ClientSecretBasic(task.service.secret), {
    ...options,
    algorithm: 'oauth2',
  });
  report.introspected = await client.tokenIntrospection(service, second.access_token);
  report.introspected_by_public_client = await refusal(client.tokenIntrospection(config, second.access_token));
  await client.tokenRevocation(config, second.access_token);
  report.after_revocation = await client.tokenIntrospection(service, second.access_token);
  await client.tokenRevocation(config, second.refresh_token);
  report.refresh_after_revocation = await refusal(client.refreshTokenGrant(config, second.refresh_token, { resource }, bound));

  // a client with a secret, and tokens that are bound to nothing
  const other = client.randomPKCECodeVerifier();
  const plain = await visit(
    task,
    client.buildAuthorizationUrl(service, {
      redirect_uri,
      resource,
      scope: 'notes:read notes:write',
      code_challenge: await client.calculatePKCECodeChallenge(other),
      code_challenge_method: 'S256',
      state,
    }),
  );
  report.plain = plain.seen;
  const bearer = await client.authorizationCodeGrant(service, plain.callback, { pkceCodeVerifier: other, expectedState: state }, { resource });
  report.bearer = tokens(bearer);
  report.bearer_refreshed = tokens(await client.refreshTokenGrant(service, bearer.refresh_token, { resource }));
  report.service = tokens(await client.clientCredentialsGrant(service, { resource, scope: 'notes:read' }));

  const device = await client.discovery(issuer, task.device.id, undefined, client.None(), options);
  const codes = await client.initiateDeviceAuthorization(device, { resource, scope: 'notes:read' });
  const { device_code, ...shown } = codes;
  report.device = shown;
  const poll = () => refusal(client.genericGrantRequest(device, DEVICE_GRANT, { device_code }));
  report.polls = [(await poll()).error, (await poll()).error];

  // one that its user lets in while it polls
  const waiting = await client.initiateDeviceAuthorization(device, { resource, scope: 'notes:read' });
  const recorded = device[client.customFetch];
  const answers = [];
  const connected = new Promise((resolve, reject) => {
    device[client.customFetch] = async (...asked) => {
      const response = await recorded(...asked);
      answers.push(response.status);
      // its user comes once it was told to wait
      if (answers.length === 1) connect(task, waiting).then(resolve, reject);
      return response;
    };
  });
  const [patient, pages] = await Promise.all([client.pollDeviceAuthorizationGrant(device, waiting), connected]);
  report.connected = { pages, answers: [...answers], tokens: tokens(patient) };
  report.connected.refreshed = tokens(await client.refreshTokenGrant(device, patient.refresh_token));
  return report;
});
