"""A trajectory of two steps for the tests here: a trial call that failed, and an answer."""

from toolmaster.types import (
    ActionKind,
    ErrorKind,
    Message,
    Phase,
    Step,
    StopReason,
    ToolCall,
    Trajectory,
)


def two_steps(query, text, tool, observation, answer, ids=True, **fields):
    """`ids`: whether the steps have tokens: 2, 2 (call), 3 (observation), 4 (answer), 5 (end)."""
    call = Step(
        text=text,
        phase=Phase.TRIAL,
        action=ActionKind.CALL,
        call=ToolCall(name=tool["name"], arguments={"q": 2}),
        observation=f"error: {observation}",
        error=ErrorKind.TOOL_ERROR,
        token_ids=[2, 2] if ids else [],
        observation_ids=[3] if ids else [],
    )
    last = Step(
        text=f"<answer>{answer}</answer>",
        phase=Phase.EXECUTION,
        action=ActionKind.ANSWER,
        token_ids=[4] if ids else [],
        observation_ids=[5] if ids else [],
    )
    made = {
        "protocol": "trial",
        "prompt": [Message(role="user", content=query)],
        "tools": [{"type": "function", "function": tool}],
        "steps": [call, last],
        "stop_reason": StopReason.ANSWERED,
        "answer": answer,
    }
    return Trajectory(**made | fields)
