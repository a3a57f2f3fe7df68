// The SDK's own OAuth provider interface (the same in both generations), kept in memory.
import { randomUUID } from 'node:crypto';

export class MemoryProvider {
  #tokens;
  #client;
  #verifier;
  #discovery;
  #state;
  authorizationUrl;

  constructor(redirectUrl, clientMetadataUrl) {
    this.redirectUrl = redirectUrl;
    this.clientMetadataUrl = clientMetadataUrl;
  }

  get clientMetadata() {
    return {
      client_name: 'End-to-end TypeScript client',
      redirect_uris: [this.redirectUrl],
      grant_types: ['authorization_code', 'refresh_token'],
      response_types: ['code'],
      token_endpoint_auth_method: 'none',
    };
  }

  state() {
    this.#state = randomUUID();
    return this.#state;
  }

  /** The authorization response must be the answer to the last question. */
  checkState(callback) {
    if (callback.searchParams.get('state') !== this.#state) throw new Error('the redirect carries another state');
  }

  clientInformation() {
    return this.#client;
  }

  saveClientInformation(client) {
    this.#client = client;
  }

  tokens() {
    return this.#tokens;
  }

  saveTokens(tokens) {
    this.#tokens = tokens;
  }

  /** Seconds since the epoch at which the access token says it ends. */
  get accessTokenExpiry() {
    const payload = this.#tokens.access_token.split('.')[1];
    return JSON.parse(Buffer.from(payload, 'base64url').toString()).exp;
  }

  forgetRefreshToken() {
    if (this.#tokens) this.#tokens = { ...this.#tokens, refresh_token: undefined };
  }

  redirectToAuthorization(url) {
    this.authorizationUrl = url;
  }

  saveCodeVerifier(verifier) {
    this.#verifier = verifier;
  }

  codeVerifier() {
    return this.#verifier;
  }

  saveDiscoveryState(state) {
    this.#discovery = state;
  }

  discoveryState() {
    return this.#discovery;
  }
}
