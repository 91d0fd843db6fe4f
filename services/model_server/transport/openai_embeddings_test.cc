#include "services/model_server/transport/openai_embeddings.h"

#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "common/testing/matchers.h"

namespace crossover::inference {
namespace {

TEST(ParseEmbeddingsRequestTest, ABodyThatIsNestedTooDeeplyIsRefused) {
  const auto nested = [](size_t levels) {
    return absl::StrCat(R"({"model":"m","input":"a","x":)", std::string(levels, '['),
                        std::string(levels, ']'), "}");
  };
  EXPECT_OK(ParseEmbeddingsRequest(nested(100)));
  const absl::Status deep = ParseEmbeddingsRequest(nested(300)).status();
  EXPECT_THAT(deep, HasReasonThat("FIELD_INVALID"));
  EXPECT_EQ(DetailOf(deep).violations[0].field, "body");
}

}  // namespace
}  // namespace crossover::inference
