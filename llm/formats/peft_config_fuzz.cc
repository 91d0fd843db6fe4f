// Any text must give a config or an error; an accepted one must survive writing and reading.
#include <string_view>

#include "llm/formats/model_config.h"
#include "llm/formats/peft.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace crossover::llm;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  (void)ModelConfig::FromHfJson(text, "fuzz");
  const auto config = ParseLoraConfig(text, "fuzz");
  if (!config.ok()) return 0;
  (void)config->ScaleOf("model.layers.0.self_attn.q_proj");
  if (!ParseLoraConfig(LoraConfigJson(*config), "again").ok()) __builtin_trap();
  return 0;
}
