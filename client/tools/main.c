/*
 * The program `cellar`. Everything is in tool.c, where tests can call it.
 */

#include "client/tools/tool.h"

int main(int argc, char **argv)
{
    return cellar_tool_run(argc, argv, stdout, stderr);
}
