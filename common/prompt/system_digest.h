// The digest of a System: what is measured and what is served are the same System exactly when
// their digests are equal.
#pragma once

#include <map>
#include <string>

#include "common/prompt/prompt_spec.h"

namespace crossover::prompt {

enum class SystemModel { kBase, kAdapter, kUpstream };

// What decides an answer. Limits and display names do not; an adapter's digest says its base.
struct SystemIdentity {
  std::string prompt_version;  // resource name; empty: messages go as they come
  SystemModel kind = SystemModel::kUpstream;
  std::string model;     // digest where resolved, else what the model is called
  std::string upstream;  // resource name; kUpstream alone
  std::string revision;  // of an upstream's model, where resolved
  // OpenAI parameter (`temperature`, `response_format` …) to JSON text; absent ones are the
  // prompt's.
  std::map<std::string, std::string> sampling;
};

// `sha256:…` of the RFC 8785 form of
// {"model":{"kind":"base_model|adapter|upstream","model",…,"revision"?,"upstream"?},
//  "prompt_version"?, "sampling":{…}} with empty members left out.
std::string SystemDigest(const SystemIdentity& system);

// As `SystemIdentity::sampling`.
std::map<std::string, std::string> SamplingFields(const Sampling& sampling);

}  // namespace crossover::prompt
