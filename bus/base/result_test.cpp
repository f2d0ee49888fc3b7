// Proves that every error code has a name of its own, that an errno becomes a fitting code with both texts, that
// MILLRACE_TRY hands an error on, and that a broken invariant ends the process and says where.
#include "bus/base/result.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <set>

#include "bus/base/assert.hpp"

namespace millrace {
namespace {

using testing::HasSubstr;

TEST(ErrorCode, HasANameOfItsOwn) {
  std::set<std::string_view> names;
  const int count = static_cast<int>(ErrorCode::overrun) + 1;
  for (int code = 0; code < count; ++code) names.insert(to_string(static_cast<ErrorCode>(code)));
  EXPECT_EQ(names.size(), static_cast<std::size_t>(count));
  EXPECT_FALSE(names.contains("unknown"));
}

TEST(FailErrno, NamesWhatFailedAndWhy) {
  const Status status = fail_errno("cannot open 'x'", ENOENT);
  EXPECT_EQ(status.error().code, ErrorCode::not_found);
  EXPECT_THAT(status.error().message, HasSubstr("cannot open 'x': No such file"));
}

TEST(FailErrno, ChoosesACodeThatFits) {
  const auto code = [](int error_number) { return Status(fail_errno("x", error_number)).error().code; };
  EXPECT_EQ(code(EACCES), ErrorCode::not_permitted);
  EXPECT_EQ(code(ENOSPC), ErrorCode::no_space);
  EXPECT_EQ(code(EINVAL), ErrorCode::invalid_argument);
  EXPECT_EQ(code(EIO), ErrorCode::io_failed);
}

TEST(Try, HandsAnErrorOnAndElseGoesOn) {
  const auto twice = [](const Status& first) -> Result<int> {
    MILLRACE_TRY(first);
    return 2;
  };
  EXPECT_EQ(twice({}), 2);
  const auto failed = twice(fail(ErrorCode::in_use, "taken"));
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().code, ErrorCode::in_use);
  EXPECT_EQ(failed.error().message, "taken");
}

TEST(AssertDeathTest, EndsTheProcessAndSaysWhere) {
  MILLRACE_ASSERT(1 + 1 == 2, "arithmetic");
  EXPECT_DEATH(MILLRACE_ASSERT(1 + 1 == 3, "arithmetic"), "result_test.cpp:[0-9]+: arithmetic \\(1 \\+ 1 == 3\\)");
}

}  // namespace
}  // namespace millrace
