#include "common/blob/manifest.h"

#include <gtest/gtest.h>

#include "common/json/digest.h"
#include "common/testing/matchers.h"

namespace crossover {
namespace {

TEST(ManifestTest, IsCanonicalAndIndependentOfTheOrderOfFiles) {
  const std::string a = DigestOf("a");
  const Manifest one{"adapter", {{"b.json", 2, a}, {"a/x", 1, a}}};
  const Manifest two{"adapter", {{"a/x", 1, a}, {"b.json", 2, a}}};
  ASSERT_OK_AND_ASSIGN(const std::string bytes, SerializeManifest(one));
  EXPECT_EQ(bytes,
            "{\"files\":[{\"path\":\"a/x\",\"sha256\":\"" + a +
                "\",\"size\":1},{\"path\":\"b.json\",\"sha256\":\"" + a +
                "\",\"size\":2}],\"format\":\"crossover.artifact.v1\",\"kind\":\"adapter\"}");
  EXPECT_EQ(*ManifestDigest(one), *ManifestDigest(two));
  ASSERT_OK_AND_ASSIGN(const Manifest back, ParseManifest(bytes));
  EXPECT_EQ(back.kind, "adapter");
  EXPECT_EQ(back.TotalSize(), 3);
  EXPECT_EQ(back.Find("b.json")->size, 2);
  EXPECT_EQ(back.Find("c"), nullptr);
}

TEST(ManifestTest, PathsThatLeaveTheFolderAreRefused) {
  for (const std::string path :
       {"", "/etc/passwd", "../x", "a/../../x", "a//b", "./a", "a/.", "a/"}) {
    EXPECT_FALSE(IsSafeRelativePath(path)) << path;
    EXPECT_THAT(SerializeManifest({"k", {{path, 1, DigestOf("a")}}}),
                HasReasonThat("MANIFEST_INVALID"))
        << path;
  }
  EXPECT_FALSE(IsSafeRelativePath(std::string_view("a\0b", 3)));
  EXPECT_TRUE(IsSafeRelativePath("a/b..c/.hidden"));
}

TEST(ManifestTest, WrongInputIsRefusedWithAReason) {
  for (
      const std::string bytes :
      {"", "[]", "{}", R"({"format":"other"})",
       R"({"format":"crossover.artifact.v1","kind":"k","files":[{"path":"a"}]})",
       R"({"format":"crossover.artifact.v1","kind":"k","files":[{"path":"a","size":1,"sha256":"sha256:00"}]})"}) {
    EXPECT_THAT(ParseManifest(bytes), HasReasonThat("MANIFEST_INVALID")) << bytes;
  }
  EXPECT_THAT(SerializeManifest({"k", {{"a", 1, DigestOf("a")}, {"a", 1, DigestOf("a")}}}),
              StatusIs(absl::StatusCode::kInvalidArgument, ::testing::HasSubstr("twice")));
}

}  // namespace
}  // namespace crossover
