// Proves that any bytes become a JSON string that means them, and valid UTF-8.
#include "schemas/json_text.hpp"

#include <gtest/gtest.h>

namespace millrace::schemas {
namespace {

std::string quoted(std::string_view text) {
  std::string out = "x";
  append_json_string(text, out);
  return out;
}

TEST(JsonText, what_json_forbids_in_a_string_is_escaped_and_nothing_else) {
  EXPECT_EQ(quoted(""), R"(x"")");
  EXPECT_EQ(quoted("plain /text/"), R"(x"plain /text/")");
  EXPECT_EQ(quoted("a\"b\\c\n\r\t\x01\x1f\x7f"), R"(x"a\"b\\c\n\r\t\u0001\u001f\u007f")");
  EXPECT_EQ(quoted(std::string_view("\0", 1)), R"(x"\u0000")");
  EXPECT_EQ(quoted("\u00e9\u4e2d\U0001f600"), "x\"\u00e9\u4e2d\U0001f600\"");
}

TEST(JsonText, each_byte_that_is_no_utf8_becomes_the_replacement_character) {
  EXPECT_EQ(quoted("a\xff\xc3"), "x\"a\ufffd\ufffd\"");
  EXPECT_EQ(quoted("\xed\xa0\x80"), "x\"\ufffd\ufffd\ufffd\"") << "a surrogate";
  EXPECT_EQ(quoted("\xc0\xaf"), "x\"\ufffd\ufffd\"") << "an overlong form";
}

}  // namespace
}  // namespace millrace::schemas
