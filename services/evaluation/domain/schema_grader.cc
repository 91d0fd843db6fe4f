// JSON Schema (draft 7, by valijson). Its exceptions end here.
#include <exception>

// A schema that valijson can't use must not end the process, which is its default.
#define VALIJSON_USE_EXCEPTIONS 1
#include <nlohmann/json.hpp>
#include <valijson/adapters/nlohmann_json_adapter.hpp>
#include <valijson/schema.hpp>
#include <valijson/schema_parser.hpp>
#include <valijson/validation_results.hpp>
#include <valijson/validator.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/status/error.h"
#include "services/evaluation/domain/graders.h"

namespace crossover::evaluation {
namespace {

class SchemaGrader final : public Grader {
 public:
  SchemaGrader(GraderSpec spec, std::unique_ptr<valijson::Schema> schema)
      : Grader(std::move(spec)), schema_(std::move(schema)) {}

  Grade Score(const std::string&, const std::string& answer) const override {
    std::string raw_note, unfenced_note;
    bool raw = Valid(answer, raw_note);
    bool unfenced = raw || Valid(Unfenced(answer), unfenced_note);
    return {.score = raw ? 1.0 : 0.0,
            .fields = {{"raw", raw ? 1.0 : 0.0}, {"unfenced", unfenced ? 1.0 : 0.0}},
            .note = raw        ? ""
                    : unfenced ? "valid only inside a code fence"
                               : raw_note};
  }

 private:
  bool Valid(const std::string& text, std::string& note) const {
    nlohmann::json document = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
    if (document.is_discarded()) {
      note = "not JSON";
      return false;
    }
    try {
      valijson::Validator validator;
      valijson::ValidationResults results;
      valijson::adapters::NlohmannJsonAdapter adapter(document);
      if (validator.validate(*schema_, adapter, &results)) return true;
      valijson::ValidationResults::Error error;
      if (results.popError(error))
        note = absl::StrCat(absl::StrJoin(error.context, ""), ": ", error.description);
    } catch (const std::exception& exception) {
      note = exception.what();
    }
    return false;
  }

  std::unique_ptr<valijson::Schema> schema_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Grader>> MakeSchemaGrader(const GraderSpec& spec) {
  auto bad = [&](std::string_view what) {
    return Error(absl::StatusCode::kInvalidArgument, "GRADER_INVALID",
                 absl::StrCat("grader ", spec.name, ": schema: ", std::string(what)));
  };
  nlohmann::json document = nlohmann::json::parse(spec.schema, nullptr, /*allow_exceptions=*/false);
  if (!document.is_object() && !document.is_boolean()) return bad("not a JSON Schema object");
  try {
    auto schema = std::make_unique<valijson::Schema>();
    valijson::SchemaParser parser;
    valijson::adapters::NlohmannJsonAdapter adapter(document);
    parser.populateSchema(adapter, *schema);
    return std::make_unique<SchemaGrader>(spec, std::move(schema));
  } catch (const std::exception& exception) {
    return bad(exception.what());
  }
}

}  // namespace crossover::evaluation
