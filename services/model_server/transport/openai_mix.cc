// Several adapters at once, as GenerateRequest.adapter_mix has them.
#include <string>

#include "absl/strings/str_cat.h"
#include "services/model_server/transport/openai_fields.h"

namespace crossover::inference {

absl::Status ReadAdapterMix(const ParsedJson& root, GenerateCommand& command) {
  const ParsedJson& mix = Member(root, "adapter_mix");
  if (mix.is_null()) return absl::OkStatus();
  if (!mix.is_array()) return BodyFieldError("adapter_mix", "must be a list");
  for (size_t i = 0; i < mix.size(); ++i) {
    const std::string path = absl::StrCat("adapter_mix[", i, "]");
    if (!mix[i].is_object()) return BodyFieldError(path, "must have a digest and a weight");
    const ParsedJson& digest = Member(mix[i], "digest");
    const ParsedJson& weight = Member(mix[i], "weight");
    if (!digest.is_string())
      return BodyFieldError(path + ".digest", "must be an adapter: sha256:… or a name");
    if (!weight.is_number()) return BodyFieldError(path + ".weight", "must be a number");
    command.mix.push_back({digest.get<std::string>(), weight.get<double>()});
  }
  return absl::OkStatus();
}

}  // namespace crossover::inference
