#include "common/http/multipart.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

#include "common/testing/matchers.h"

namespace crossover::http {
namespace {

using ::testing::ElementsAre;

constexpr char kBody[] =
    "--X-b\r\n"
    "Content-Disposition: form-data; name=\"purpose\"\r\n"
    "\r\n"
    "fine-tune\r\n"
    "--X-b\r\n"
    "content-disposition: form-data; name=\"file\"; filename=\"my \\\"rows\\\".jsonl\"\r\n"
    "Content-Type: application/jsonl\r\n"
    "\r\n"
    "{\"a\": 1}\r\n--X-\r\n\r\n"
    "\r\n--X-b\r\n"
    "Content-Disposition: form-data; name=empty\r\n"
    "\r\n"
    "\r\n--X-b--\r\n";

// name(filename)=bytes of every part, the body fed in pieces of `step` bytes.
absl::StatusOr<std::vector<std::string>> ReadForm(std::string_view body, size_t step) {
  std::vector<std::string> parts;
  MultipartReader reader(
      "X-b",
      [&](const FormPart& part) {
        parts.push_back(part.name + "(" + part.filename.value_or("") + ")=");
        return absl::OkStatus();
      },
      [&](std::string_view bytes) {
        parts.back().append(bytes);
        return absl::OkStatus();
      });
  for (size_t at = 0; at < body.size(); at += step) {
    const absl::Status status = reader.Feed(body.substr(at, step));
    if (!status.ok()) return status;
  }
  const absl::Status status = reader.Finish();
  if (!status.ok()) return status;
  return parts;
}

TEST(MultipartTest, ReadsTheSamePartsHoweverTheBytesArrive) {
  for (size_t step = 1; step < sizeof(kBody); ++step) {
    ASSERT_OK_AND_ASSIGN(std::vector<std::string> parts, ReadForm(kBody, step));
    ASSERT_THAT(parts,
                ElementsAre("purpose()=fine-tune",
                            "file(my \"rows\".jsonl)={\"a\": 1}\r\n--X-\r\n\r\n", "empty()="))
        << step;
  }
}

TEST(MultipartTest, APreambleAndAnEpilogueSayNothing) {
  EXPECT_THAT(*ReadForm("hello\r\n--X-b\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nb"
                        "\r\n--X-b--\r\nbye",
                        3),
              ElementsAre("a()=b"));
}

TEST(MultipartTest, WhatIsNoFormIsRefused) {
  for (const char* body :
       {"", "{}", "--X-b\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nhalf",
        "--X-b\r\nContent-Type: text/plain\r\n\r\nb\r\n--X-b--\r\n", "--X-bad\r\n\r\n"}) {
    EXPECT_THAT(ReadForm(body, 5), HasReasonThat("FORMAT_INVALID")) << body;
  }
}

TEST(MultipartTest, AnErrorOfTheReaderComesThrough) {
  MultipartReader reader(
      "X-b", [](const FormPart&) { return absl::OkStatus(); },
      [](std::string_view) { return absl::ResourceExhaustedError("full"); });
  EXPECT_THAT(reader.Feed(kBody), StatusIs(absl::StatusCode::kResourceExhausted));
}

TEST(MultipartTest, TheBoundaryIsReadFromTheContentType) {
  EXPECT_EQ(*BoundaryOf("multipart/form-data; boundary=abc"), "abc");
  EXPECT_EQ(*BoundaryOf("Multipart/Form-Data; charset=utf-8; Boundary=\"a b;c\""), "a b;c");
  EXPECT_THAT(BoundaryOf("application/json"), HasReasonThat("FORMAT_INVALID"));
  EXPECT_THAT(BoundaryOf("multipart/form-data"), HasReasonThat("FORMAT_INVALID"));
}

}  // namespace
}  // namespace crossover::http
