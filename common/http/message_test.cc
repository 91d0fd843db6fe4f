#include "common/http/message.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/http/route_table.h"

namespace crossover::http {
namespace {

using ::testing::ElementsAre;
using ::testing::Pair;

TEST(HeadersTest, NamesAreComparedWithoutCase) {
  Headers headers{{"Content-Type", "a"}, {"X-One", "1"}};
  EXPECT_EQ(headers.Get("content-type"), "a");
  headers.Set("CONTENT-TYPE", "b");
  EXPECT_EQ(headers.Get("Content-Type"), "b");
  EXPECT_EQ(headers.fields().size(), 2u);
  headers.Remove("x-one");
  EXPECT_FALSE(headers.Has("X-One"));
}

TEST(RequestTest, QueryParametersAreDecoded) {
  Request request;
  request.target = "/v1/jobs?metadata%5Bk%5D=a+b%26c&limit=20&flag&=x#frag";
  EXPECT_THAT(request.QueryAll(), ElementsAre(Pair("metadata[k]", "a b&c"), Pair("limit", "20"),
                                              Pair("flag", ""), Pair("", "x")));
  EXPECT_EQ(request.Query("limit"), "20");
  EXPECT_EQ(request.Query("nothing"), std::nullopt);
}

TEST(UrlTest, CodingRoundTripsAndKeepsMalformedEscapes) {
  EXPECT_EQ(UrlDecode(UrlEncode("ü /?&=%")), "ü /?&=%");
  EXPECT_EQ(UrlDecode("100%+%zz%4"), "100%+%zz%4");
}

TEST(UrlTest, IsTakenApart) {
  const auto url = ParseUrl("HTTPS://api.example.com/v1?x=1#f");
  ASSERT_TRUE(url);
  EXPECT_EQ(url->scheme, "https");
  EXPECT_EQ(url->host, "api.example.com");
  EXPECT_EQ(url->port, 443);
  EXPECT_EQ(url->target, "/v1?x=1");
  EXPECT_EQ(ParseUrl("http://[::1]:8080")->host, "::1");
  EXPECT_EQ(ParseUrl("http://[::1]:8080")->port, 8080);
  EXPECT_EQ(ParseUrl("http://h?x")->target, "/?x");
}

TEST(UrlTest, WhatIsNoUrlIsRefused) {
  for (const char* bad :
       {"", "example.com", "ftp://x/", "http://", "http://h:0/", "http://h:99999/", "http://h:8x/",
        "http://user:secret@h/", "http://[::1/"}) {
    EXPECT_FALSE(ParseUrl(bad)) << bad;
  }
}

class RouteTableTest : public ::testing::Test {
 protected:
  void Add(std::string_view method, std::string_view pattern, size_t mark) {
    table_.Add(method, pattern, {nullptr, {.max_body_bytes = mark}});
  }
  // The mark of the route that is found, or 0.
  size_t Find(std::string_view method, std::string_view path) {
    match_ = table_.Find(method, path);
    return match_.route == nullptr ? 0 : match_.route->options.max_body_bytes;
  }

  RouteTable table_;
  RouteTable::Match match_;
};

TEST_F(RouteTableTest, LiteralsWinOverParametersAndParametersOverTheRest) {
  Add("GET", "/v1/jobs", 1);
  Add("GET", "/v1/jobs/{id}", 2);
  Add("POST", "/v1/jobs/{id}/cancel", 3);
  Add("GET", "/v1/jobs/latest", 4);
  Add("GET", "/files/{path...}", 5);
  EXPECT_EQ(Find("GET", "/v1/jobs"), 1u);
  EXPECT_EQ(Find("GET", "/v1/jobs/a%2Fb"), 2u);
  EXPECT_EQ(match_.params.at("id"), "a/b");
  EXPECT_EQ(Find("POST", "/v1/jobs/7/cancel"), 3u);
  EXPECT_EQ(Find("GET", "/v1/jobs/latest"), 4u);
  EXPECT_EQ(Find("GET", "/files/a/b/c"), 5u);
  EXPECT_EQ(match_.params.at("path"), "a/b/c");
  EXPECT_EQ(Find("HEAD", "/v1/jobs"), 1u);
}

TEST_F(RouteTableTest, UnknownPathAndUnknownMethodAreToldApart) {
  Add("GET", "/a", 1);
  Add("PUT", "/a", 2);
  EXPECT_EQ(Find("POST", "/a"), 0u);
  EXPECT_EQ(match_.allow, "GET, PUT");
  EXPECT_EQ(Find("GET", "/b"), 0u);
  EXPECT_EQ(match_.allow, "");
  EXPECT_EQ(Find("GET", "/a/b"), 0u);
}

TEST_F(RouteTableTest, RootAndTrailingSlash) {
  Add("GET", "/", 1);
  Add("GET", "/a", 2);
  EXPECT_EQ(Find("GET", "/"), 1u);
  EXPECT_EQ(Find("GET", "/a/"), 2u);
}

}  // namespace
}  // namespace crossover::http
