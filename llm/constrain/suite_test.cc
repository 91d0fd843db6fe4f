// What is allowed must be valid, said by others: valijson for texts that were written under a
// schema, and the JSON Schema Test Suite (CROSSOVER_JSON_SCHEMA_SUITE, the folder with `tests`;
// left out without it).
#define VALIJSON_USE_EXCEPTIONS 1
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <random>
#include <valijson/adapters/nlohmann_json_adapter.hpp>
#include <valijson/schema.hpp>
#include <valijson/schema_parser.hpp>
#include <valijson/validator.hpp>

#include "llm/constrain/testing_constraint.h"

namespace crossover::llm::constrain {
namespace {

using Json = nlohmann::json;

bool ValijsonAccepts(const Json& schema, const Json& document) {
  valijson::Schema parsed;
  valijson::SchemaParser parser;
  const valijson::adapters::NlohmannJsonAdapter schema_adapter(schema);
  parser.populateSchema(schema_adapter, parsed);
  const valijson::adapters::NlohmannJsonAdapter adapter(document);
  return valijson::Validator().validate(parsed, adapter, nullptr);
}

// A text written byte by byte at random, closing what is open once it is long.
std::string Written(const Automaton& automaton, std::mt19937& random) {
  TextReader reader(automaton);
  std::string text;
  while (!reader.finished() && text.size() < 2000) {
    if (reader.whole() && random() % 3 == 0) break;
    std::string next;
    for (int byte = 0x20; byte < 0x7f; ++byte) {
      TextReader ahead = reader;
      if (ahead.Read(std::string(1, static_cast<char>(byte))))
        next.push_back(static_cast<char>(byte));
    }
    if (next.empty()) break;
    char chosen = next[random() % next.size()];
    for (const char c : std::string("\"]}")) {
      if (next.find(c) != std::string::npos && (text.size() > 200 || random() % 3 == 0)) chosen = c;
    }
    reader.Read(std::string(1, chosen));
    text.push_back(chosen);
  }
  return reader.whole() ? text : "";
}

TEST(ValijsonTest, FindsWhatIsWrittenValid) {
  // Draft 7, so without prefixItems.
  const char* const schemas[] = {
      R"({"type":"object","properties":{"id":{"type":"integer","minimum":1,"maximum":999},"tags":{"type":"array","items":{"type":"string","maxLength":5},"minItems":1,"maxItems":3},
          "kind":{"enum":["a","b",3]},"when":{"type":"string","pattern":"^[0-9]{4}-[a-f]+$"}},"required":["id","kind"],"additionalProperties":false})",
      R"({"type":"object","additionalProperties":{"type":"number","minimum":-1,"exclusiveMaximum":1}})",
      R"({"definitions":{"tree":{"type":"object","properties":{"v":{"type":["string","null"]},"c":{"type":"array","items":{"$ref":"#/definitions/tree"},"maxItems":2}},"required":["v"]}},"$ref":"#/definitions/tree"})",
      R"({"oneOf":[{"type":"object","properties":{"k":{"const":"x"},"n":{"type":"boolean"}},"required":["k","n"]},{"type":"string","minLength":3,"maxLength":6}]})",
      R"({"allOf":[{"properties":{"a":{"type":"integer"}},"required":["a"]},{"properties":{"a":{"maximum":7},"b":{"const":null}}}],"type":"object"})"};
  std::mt19937 random(11);
  for (const char* text : schemas) {
    const auto automaton = CompileAutomaton(SchemaSpec(text));
    ASSERT_TRUE(automaton.ok()) << text << automaton.status();
    int whole = 0;
    for (int i = 0; i < 60; ++i) {
      const std::string written = Written(*automaton, random);
      if (written.empty()) continue;
      ++whole;
      const Json document = Json::parse(written, nullptr, false);
      ASSERT_FALSE(document.is_discarded()) << written;
      EXPECT_TRUE(ValijsonAccepts(Json::parse(text), document)) << text << " wrote " << written;
    }
    EXPECT_GT(whole, 10) << text;
  }
}

TEST(JsonSchemaSuiteTest, NothingInvalidIsAllowed) {
  const char* folder = std::getenv("CROSSOVER_JSON_SCHEMA_SUITE");
  if (folder == nullptr) GTEST_SKIP() << "CROSSOVER_JSON_SCHEMA_SUITE is not set";
  namespace fs = std::filesystem;
  fs::path draft = fs::path(folder) / "tests";
  if (fs::exists(draft / "draft2020-12")) draft /= "draft2020-12";
  int served = 0, refused = 0, valid = 0, allowed = 0;
  for (const fs::directory_entry& entry : fs::directory_iterator(draft)) {
    if (entry.path().extension() != ".json") continue;
    std::ifstream file(entry.path());
    for (const nlohmann::ordered_json& group : nlohmann::ordered_json::parse(file)) {
      const auto automaton = CompileAutomaton(SchemaSpec(group["schema"].dump()));
      if (!automaton.ok()) {
        ++refused;
        continue;
      }
      ++served;
      for (const nlohmann::ordered_json& test : group["tests"]) {
        const bool is_valid = test["valid"];
        // A number has several spellings; dump() writes one of them.
        const bool is_allowed = Allows(*automaton, test["data"].dump());
        EXPECT_FALSE(is_allowed && !is_valid)
            << entry.path().filename() << ": " << group["description"] << ": "
            << test["description"];
        valid += is_valid;
        allowed += is_valid && is_allowed;
        if (is_valid && !is_allowed && std::getenv("CROSSOVER_VERBOSE") != nullptr)
          std::printf("narrower: %s: %s: %s\n", entry.path().filename().c_str(),
                      group["description"].dump().c_str(), test["data"].dump().c_str());
      }
    }
  }
  std::printf("schemas served %d, refused %d; valid documents allowed %d of %d\n", served, refused,
              allowed, valid);
  EXPECT_GT(served, 100);
  EXPECT_GT(allowed, valid / 2);
}

}  // namespace
}  // namespace crossover::llm::constrain
