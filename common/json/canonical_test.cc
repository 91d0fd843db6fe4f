#include "common/json/canonical.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <nlohmann/json.hpp>

#include "common/json/digest.h"
#include "common/testing/matchers.h"

namespace crossover {
namespace {

std::string Canonical(std::string_view text) {
  const absl::StatusOr<std::string> out = CanonicalJson(nlohmann::json::parse(text));
  return out.ok() ? *out : out.status().ToString();
}

TEST(CanonicalJsonTest, SortsKeysByUtf16CodeUnitsAsInTheRfcsExample) {
  // RFC 8785 §3.2.3.
  EXPECT_EQ(
      Canonical(
          R"({"\u20ac":"Euro Sign","\r":"Carriage Return","\ufb33":"Hebrew Letter Dalet With Dagesh",
                          "1":"One","\ud83d\ude00":"Emoji: Grinning Face","\u0080":"Control","\u00f6":"o"})"),
      "{\"\\r\":\"Carriage Return\",\"1\":\"One\",\"\xC2\x80\":\"Control\",\"\xC3\xB6\":\"o\","
      "\"\xE2\x82\xAC\":\"Euro Sign\",\"\xF0\x9F\x98\x80\":\"Emoji: Grinning Face\","
      "\"\xEF\xAC\xB3\":\"Hebrew Letter Dalet With Dagesh\"}");
}

TEST(CanonicalJsonTest, EscapesOnlyWhatMustBeEscaped) {
  EXPECT_EQ(Canonical(R"(["\u0000\u001f\b\t\n\f\r\"\\\/\u007f\u20ac"])"),
            "[\"\\u0000\\u001f\\b\\t\\n\\f\\r\\\"\\\\/\x7f\xE2\x82\xAC\"]");
}

TEST(CanonicalJsonTest, KeepsArrayOrderAndDropsWhiteSpace) {
  EXPECT_EQ(Canonical(" [ 3 , {\"b\" : null, \"a\" : [true, false]} ] "),
            "[3,{\"a\":[true,false],\"b\":null}]");
}

TEST(CanonicalJsonTest, PrintsNumbersAsEcmaScriptDoes) {
  // RFC 8785, appendix B: IEEE 754 bits and their text.
  const std::vector<std::pair<uint64_t, std::string>> cases = {
      {0x0000000000000000, "0"},
      {0x8000000000000000, "0"},
      {0x0000000000000001, "5e-324"},
      {0x8000000000000001, "-5e-324"},
      {0x7fefffffffffffff, "1.7976931348623157e+308"},
      {0x4340000000000000, "9007199254740992"},
      {0xc340000000000000, "-9007199254740992"},
      {0x4430000000000000, "295147905179352830000"},
      {0x44b52d02c7e14af5, "9.999999999999997e+22"},
      {0x44b52d02c7e14af6, "1e+23"},
      {0x44b52d02c7e14af7, "1.0000000000000001e+23"},
      {0x444b1ae4d6e2ef4e, "999999999999999700000"},
      {0x444b1ae4d6e2ef4f, "999999999999999900000"},
      {0x444b1ae4d6e2ef50, "1e+21"},
      {0x3eb0c6f7a0b5ed8c, "9.999999999999997e-7"},
      {0x3eb0c6f7a0b5ed8d, "0.000001"},
      {0x41b3de4355555553, "333333333.3333332"},
      {0x41b3de4355555557, "333333333.33333343"},
      {0xbecbf647612f3696, "-0.0000033333333333333333"},
      {0x43143ff3c1cb0959, "1424953923781206.2"},
  };
  for (const auto& [bits, text] : cases)
    EXPECT_EQ(EcmaScriptNumber(std::bit_cast<double>(bits)), text);
}

TEST(CanonicalJsonTest, OneAndOnePointZeroAreTheSameNumber) {
  EXPECT_EQ(Canonical("[1,1.0,1e0,-0.0]"), "[1,1,1,0]");
  EXPECT_EQ(Canonical("[9007199254740993]"), "[9007199254740992]");
}

TEST(CanonicalJsonTest, RefusesWhatHasNoForm) {
  EXPECT_THAT(CanonicalJson(nlohmann::json(NAN)), HasReasonThat("JSON_NOT_CANONICAL"));
  EXPECT_THAT(CanonicalJson(nlohmann::json("\xff")), HasReasonThat("JSON_NOT_CANONICAL"));
  EXPECT_THAT(CanonicalJson(nlohmann::json{{"\xc3(", 1}}), HasReasonThat("JSON_NOT_CANONICAL"));
}

TEST(DigestTest, IsSha256InLowerCaseHex) {
  EXPECT_EQ(DigestOf("abc"),
            "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_THAT(CanonicalDigest(nlohmann::json::object()), IsOkAndHolds(DigestOf("{}")));
}

TEST(DigestTest, ParsesWhatItPrintsAndNothingElse) {
  const std::string digest = DigestOf("x");
  ASSERT_OK_AND_ASSIGN(const Sha256Bytes bytes, ParseDigest(digest));
  EXPECT_EQ(ToDigest(bytes), digest);
  for (const std::string& bad : std::vector<std::string>{
           "", "sha256:", "sha256:00", "md5:00", "sha256:" + std::string(64, 'G'),
           "sha256:" + std::string(64, 'A'), digest + "0"}) {
    EXPECT_THAT(ParseDigest(bad), HasReasonThat("DIGEST_INVALID")) << bad;
  }
}

TEST(DigestTest, MissingFileIsNamed) {
  EXPECT_THAT(DigestOfFile("/nonexistent/file"),
              StatusIs(absl::StatusCode::kNotFound, ::testing::HasSubstr("/nonexistent/file")));
}

}  // namespace
}  // namespace crossover
